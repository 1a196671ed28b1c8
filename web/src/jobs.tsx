// All jobs that the user may see.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Row } from "./api";
import { ago, figure, span, tone, whole } from "./format";
import { useNow } from "./hooks";
import { keyOf, useLive } from "./live";
import { Bar, Phase } from "./parts";

const GROUPS: [string, (row: Row) => boolean][] = [
  ["All", () => true],
  ["Running", (row) => tone(row.phase) === "run"],
  ["Waiting", (row) => ["wait", "still"].includes(tone(row.phase))],
  ["Failed", (row) => tone(row.phase) === "bad"],
  ["Done", (row) => row.phase === "Succeeded"],
];

const SHOWN = 200;

export const linkOf = (row: { namespace: string; name: string }): string =>
  `#/job/${encodeURIComponent(row.namespace)}/${encodeURIComponent(row.name)}`;

export const sweepLink = (namespace: string, name: string): string => `#/sweep/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;

function order(a: Row, b: Row): number {
  return Number(a.over) - Number(b.over) || (b.created ?? "").localeCompare(a.created ?? "") || a.name.localeCompare(b.name);
}

function told(row: Row): string {
  if (row.failure && (row.phase === "Failed" || row.phase === "Restarting")) return `${row.failure.class}: ${row.failure.message}`;
  if (row.waiting && row.phase !== "Running") return row.waiting.message;
  return "";
}

function Line({ row, now, chosen, choose }: { row: Row; now: number; chosen: boolean; choose: () => void }) {
  const words = told(row);
  return (
    <tr class={chosen ? "chosen" : ""}>
      <td class="pick">
        <input type="checkbox" checked={chosen} onChange={choose} aria-label={`Compare ${row.name}`} />
      </td>
      <th scope="row" class="who">
        <a href={linkOf(row)}>{row.name}</a>
        <small>
          {row.namespace} · {row.model || "own program"}
          {row.sweep ? (
            <>
              {" · "}
              <a href={sweepLink(row.namespace, row.sweep)}>sweep {row.sweep}</a>
            </>
          ) : null}
        </small>
      </th>
      <td class="state">
        <Phase phase={row.phase} />
        {words ? <small class="told">{words}</small> : null}
      </td>
      <td data-label="Progress">
        <Bar row={row} />
      </td>
      <td data-label="Loss" class="num">
        {figure(row.loss)}
      </td>
      <td data-label="Tokens/s" class="num">
        {row.phase === "Running" ? whole(row.tokensPerSecond) : "–"}
      </td>
      <td data-label="Ends" class="num">
        {row.over ? "–" : row.eta ? `in ${span((Date.parse(row.eta) - now) / 1000)}` : "–"}
      </td>
      <td data-label="GPUs" class="num">
        {row.gpus || "CPU"}
      </td>
      <td data-label="Restarts" class="num">
        {row.restarts}
      </td>
      <td data-label="Created" class="num">
        {ago(row.created, now)}
      </td>
    </tr>
  );
}

export function Jobs() {
  const { rows, link } = useLive();
  const now = useNow();
  const [text, setText] = useState("");
  const [group, setGroup] = useState("All");
  const [chosen, setChosen] = useState<string[]>([]);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const listener = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.target instanceof HTMLInputElement) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, []);
  const all = [...rows.values()];
  const wanted = text.toLowerCase();
  const inGroup = GROUPS.find(([name]) => name === group)?.[1] ?? (() => true);
  const found = all.filter((row) => inGroup(row) && `${row.namespace}/${row.name} ${row.model} ${row.sweep} ${row.phase}`.toLowerCase().includes(wanted)).sort(order);
  const toggle = (key: string) => setChosen((now) => (now.includes(key) ? now.filter((one) => one !== key) : [...now, key].slice(-2)));
  return (
    <>
      <div class="head">
        <h1>Jobs</h1>
        <div class="tools">
          <input ref={field} type="search" placeholder="Filter  ( / )" aria-label="Filter jobs" value={text} onInput={(event) => setText(event.currentTarget.value)} />
          <a
            class={`button ${chosen.length === 2 ? "main" : ""}`}
            aria-disabled={chosen.length !== 2}
            href={chosen.length === 2 ? `#/compare/${chosen.map(encodeURIComponent).join("/")}` : "#/jobs"}
          >
            Compare {chosen.length}/2
          </a>
        </div>
      </div>
      <div class="chips" role="group" aria-label="Show">
        {GROUPS.map(([name, test]) => (
          <button key={name} type="button" aria-pressed={group === name} onClick={() => setGroup(name)}>
            {name} <b>{all.filter(test).length}</b>
          </button>
        ))}
      </div>
      {found.length ? (
        <table class="jobs">
          <thead>
            <tr>
              <th scope="col">
                <span class="hidden">Compare</span>
              </th>
              <th scope="col">Job</th>
              <th scope="col">Phase</th>
              <th scope="col">Progress</th>
              <th scope="col" class="num">
                Loss
              </th>
              <th scope="col" class="num">
                Tokens/s
              </th>
              <th scope="col" class="num">
                Ends
              </th>
              <th scope="col" class="num">
                GPUs
              </th>
              <th scope="col" class="num">
                Restarts
              </th>
              <th scope="col" class="num">
                Created
              </th>
            </tr>
          </thead>
          <tbody>
            {found.slice(0, SHOWN).map((row) => {
              const key = keyOf(row.namespace, row.name);
              return <Line key={key} row={row} now={now} chosen={chosen.includes(key)} choose={() => toggle(key)} />;
            })}
          </tbody>
        </table>
      ) : (
        <p class="empty">
          {link === "connecting"
            ? "Looking for jobs …"
            : all.length
              ? "No job is like that."
              : "There are no jobs yet. llmtrain submit JOB.yaml begins one on a cluster, llmtrain run JOB.yaml on this machine."}
        </p>
      )}
      {found.length > SHOWN ? (
        <p class="muted">
          {SHOWN} of {found.length} jobs are shown: filter to see others.
        </p>
      ) : null}
    </>
  );
}
