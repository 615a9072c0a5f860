/** The values of the API, by shorter names. `scripts/console.py types` makes them from its description. */

import type { components } from "./schema";

type Schemas = components["schemas"];

/** An execution as a node of the graph. */
export type Summary = Schemas["LineageExecutionSummary"];
/** Every field of the record of an execution. */
export type Execution = Schemas["Execution"];
export type Accepted = Schemas["Accepted"];
/** With steps and lines, where they were asked for. */
export type ListedExecution = Schemas["ListedExecution"];
export type ExecutionPage = Schemas["ExecutionList"];
export type Detail = Schemas["ExecutionDetail"];
export type Step = Schemas["Step"];
export type Lineage = Schemas["ExecutionLineage"];
export type Chain = Schemas["CorrelationChain"];
export type RecordedEvent = Schemas["Event"];
export type Artifact = Schemas["Artifact"];
export type ChangedFile = Schemas["ChangedFile"];
export type Diff = Schemas["ExecutionDiff"];
export type Statistics = Schemas["ExecutionStatistics"];
export type Workspace = Schemas["Workspace"];
export type Readiness = Schemas["Readiness"];
export type Database = Schemas["Database"];
export type Token = Schemas["Token"];
export type ChangedSince = Schemas["ChangedSince"];
