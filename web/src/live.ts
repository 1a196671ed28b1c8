// One stream tells of every job: it is taken up again when it breaks, ever more slowly.
import { useEffect, useState } from "preact/hooks";
import { type Row, Refused, request } from "./api";

export type Link = "connecting" | "live" | "lost";

export interface State {
  link: Link;
  rows: Map<string, Row>;
  refused: Refused | null;
}

const SLOWEST = 15_000;
const listeners = new Set<() => void>();
let state: State = { link: "connecting", rows: new Map(), refused: null };
let running: AbortController | null = null;

export const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`;

function become(change: Partial<State>): void {
  state = { ...state, ...change };
  for (const listener of listeners) listener();
}

function take(event: string, data: string): void {
  const found = JSON.parse(data);
  if (event === "jobs") {
    become({ link: "live", refused: null, rows: new Map(found.map((row: Row) => [keyOf(row.namespace, row.name), row])) });
    return;
  }
  const rows = new Map(state.rows);
  if (event === "gone") rows.delete(keyOf(found[0], found[1]));
  else rows.set(keyOf(found.namespace, found.name), found);
  become({ rows });
}

async function read(signal: AbortSignal): Promise<void> {
  const body = (await request("/api/stream", { signal })).body;
  if (!body) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n\n");
    rest = whole.pop() ?? "";
    for (const message of whole) {
      const event = /^event: (.*)$/m.exec(message)?.[1];
      const data = /^data: (.*)$/m.exec(message)?.[1];
      if (event && data) take(event, data);
    }
  }
}

/** Begin, with the token that is kept now. */
export async function connect(): Promise<void> {
  running?.abort();
  const mine = (running = new AbortController());
  let pause = 500;
  become({ link: "connecting", refused: null });
  while (!mine.signal.aborted) {
    try {
      await read(mine.signal);
      pause = 500;
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        become({ link: "lost", refused: error, rows: new Map() });
        return;
      }
    }
    become({ link: "lost" });
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, SLOWEST);
  }
}

export function useLive(): State {
  const [found, set] = useState(state);
  useEffect(() => {
    const listener = () => set(state);
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, []);
  return found;
}
