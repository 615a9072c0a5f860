/** Changed files as a tree of folders. */

export interface Touched {
  readonly path: string;
  readonly lines_added: number | null;
  readonly lines_removed: number | null;
}

export interface Entry<T extends Touched> {
  /** Of a folder that holds nothing but one folder: both names, "src/app". */
  readonly name: string;
  /** Ends with `/` for a folder. */
  readonly path: string;
  /** Null for a folder. */
  readonly file: T | null;
  readonly children: readonly Entry<T>[];
  readonly files: number;
  readonly added: number;
  readonly removed: number;
}

interface Growing<T extends Touched> {
  readonly folders: Map<string, Growing<T>>;
  readonly files: { readonly name: string; readonly file: T }[];
}

const empty = <T extends Touched>(): Growing<T> => ({ folders: new Map(), files: [] });

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function sum<T extends Touched>(name: string, path: string, children: readonly Entry<T>[]): Entry<T> {
  const total = (of: "files" | "added" | "removed"): number => children.reduce((all, child) => all + child[of], 0);
  return { name, path, file: null, children, files: total("files"), added: total("added"), removed: total("removed") };
}

function grown<T extends Touched>(growing: Growing<T>, prefix: string): Entry<T>[] {
  const folders = [...growing.folders].map(([first, inside]) => {
    let [name, folder] = [first, inside];
    for (let only = [...folder.folders][0]; only && folder.folders.size === 1 && folder.files.length === 0; only = [...folder.folders][0]) {
      name += `/${only[0]}`;
      folder = only[1];
    }
    const path = `${prefix}${name}/`;
    return sum(name, path, grown(folder, path));
  });
  const files = growing.files.map(({ name, file }) => ({
    name, file, path: file.path, children: [], files: 1, added: file.lines_added ?? 0, removed: file.lines_removed ?? 0,
  }));
  return [...folders.sort(byName), ...files.sort(byName)];
}

/** Folders before files, both by name. */
export function fileTree<T extends Touched>(files: readonly T[]): Entry<T>[] {
  const root = empty<T>();
  for (const file of files) {
    const parts = file.path.split("/");
    const name = parts.pop() ?? "";
    let at = root;
    for (const part of parts) {
      const next = at.folders.get(part) ?? empty<T>();
      at.folders.set(part, next);
      at = next;
    }
    at.files.push({ name, file });
  }
  return grown(root, "");
}

export interface FileRow<T extends Touched> {
  readonly entry: Entry<T>;
  readonly level: number;
  /** The row of its folder, or -1. */
  readonly parent: number;
}

/** The rows of the tree, top to bottom, without what is inside folded folders. */
export function fileRows<T extends Touched>(entries: readonly Entry<T>[], folded: ReadonlySet<string>): FileRow<T>[] {
  const result: FileRow<T>[] = [];
  const add = (some: readonly Entry<T>[], level: number, parent: number): void => {
    for (const entry of some) {
      const at = result.push({ entry, level, parent }) - 1;
      if (!folded.has(entry.path)) add(entry.children, level + 1, at);
    }
  };
  add(entries, 0, -1);
  return result;
}

/** Those with all the words in their path, in any case. */
export function matching<T extends Touched>(files: readonly T[], sought: string): readonly T[] {
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  return words.length === 0 ? files : files.filter((file) => words.every((word) => file.path.toLowerCase().includes(word)));
}
