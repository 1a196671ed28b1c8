// What the server tells, and how it is asked. The types are those of operator/llmtrain/web/views.py.

export interface Waiting {
  reason: string;
  message: string;
  position: number | null;
  start: string | null;
  since: string | null;
}

export interface Row {
  namespace: string;
  name: string;
  uid: string;
  sweep: string;
  created: string | null;
  phase: string;
  over: boolean;
  model: string;
  nodes: number;
  gpus: number;
  pods: string;
  attempt: number | null;
  restarts: number;
  step: number | null;
  totalSteps: number | null;
  percent: number | null;
  loss: number | null;
  evalLoss: number | null;
  tokensPerSecond: number | null;
  mfu: number | null;
  eta: string | null;
  updated: string | null;
  waiting: Waiting | null;
  failure: { class: string; message: string } | null;
}

export interface Why {
  state: string;
  reason: string;
  paragraph: string;
  evidence: string[];
  fix: string[];
  logTail: string[];
}

export interface Attempt {
  number: number;
  started: string | null;
  ended: string | null;
  seconds: number;
  from: number;
  gained: number | null;
  lost: number | null;
  failed: boolean;
  end: string;
  node: string;
  message: string;
}

export interface JobEvent {
  time: string | null;
  warning: boolean;
  reason: string;
  message: string;
  about: string;
  count: number;
}

export interface Part {
  title: string;
  rows: string[][];
}

export type Action = "suspend" | "resume" | "retry" | "delete";

export interface Detail {
  row: Row;
  why: Why;
  facts: Part[];
  layout: Record<string, number | string> | null;
  attempts: Attempt[];
  events: JobEvent[];
  eventsNote: string;
  checkpoints: string[][];
  data: Record<string, unknown> | null;
  answers: Record<string, unknown> | null;
  scores: Record<string, unknown> | null;
  sample: string | null;
  ranks: number;
  spec: string;
  actions: Action[];
}

export interface Curve {
  columns: Record<string, (number | null)[]>;
  phases: Record<string, number>;
}

export interface Comparison {
  rows: [Row, Row];
  parts: Part[];
  curves: [Curve, Curve];
}

export interface Trial {
  job: string;
  number: number;
  round: number;
  values: Record<string, string>;
  phase: string;
  value: number | null;
  message: string;
  row: Row | null;
}

export interface Sweep {
  namespace: string;
  name: string;
  phase: string;
  summary: string;
  message: string;
  metric: string;
  minimizes: boolean;
  fields: string[];
  best: string;
  trials: Trial[];
  curves: Record<string, Curve>;
}

export interface Me {
  user: string;
  source: "cluster" | "local";
}

/** The server said no: its status and its sentence. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const TOKEN = "llmtrain.token";

export function token(): string {
  return sessionStorage.getItem(TOKEN) ?? "";
}

export function keep(found: string): void {
  if (found) sessionStorage.setItem(TOKEN, found);
  else sessionStorage.removeItem(TOKEN);
}

/** A token behind the # of the address is taken, and is not left where others see it. */
export function takeFromAddress(): void {
  const found = /^#token=([A-Za-z0-9._~+/=-]+)$/.exec(location.hash);
  if (!found?.[1]) return;
  keep(found[1]);
  history.replaceState(null, "", location.pathname + "#/jobs");
}

export async function request(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  if (token()) headers.set("Authorization", `Bearer ${token()}`);
  let response: Response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused(0, "the server does not answer");
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new Refused(response.status, String(answer.error ?? `HTTP ${response.status}`));
  }
  return response;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, signal ? { signal } : {})).json();
}

export function jobPath(namespace: string, name: string): string {
  return `/api/jobs/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

export async function act(namespace: string, name: string, action: Action): Promise<void> {
  await request(`${jobPath(namespace, name)}/${action}`, { method: "POST", headers: { "X-Llmtrain-Action": "1" } });
}
