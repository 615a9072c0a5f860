import { createBrowserRouter } from "react-router";

import { Failed, Frame } from "./ui/frame";
import { Executions } from "./pages/executions";

// The start page is in the first download; the others come when they are opened.
export const router = createBrowserRouter(
  [
    {
      element: <Frame />,
      errorElement: <Failed />,
      children: [
        { index: true, element: <Executions /> },
        { path: "executions", element: <Executions /> },
        { path: "executions/:id", lazy: async () => ({ Component: (await import("./pages/execution")).ExecutionPage }) },
        { path: "chains/:correlation", lazy: async () => ({ Component: (await import("./pages/chain")).ChainPage }) },
        { path: "approvals", lazy: async () => ({ Component: (await import("./pages/approvals")).Approvals }) },
        { path: "statistics", lazy: async () => ({ Component: (await import("./pages/statistics")).StatisticsPage }) },
        { path: "health", lazy: async () => ({ Component: (await import("./pages/health")).Health }) },
        { path: "*", element: <Failed /> },
      ],
    },
  ],
  { basename: "/ui" },
);
