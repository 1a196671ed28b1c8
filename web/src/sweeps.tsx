// Sweeps: which there are, and of one its trials beside each other, with the curves that they draw.
import { useMemo, useState } from "preact/hooks";
import type { Row, Sweep as Found, Trial } from "./api";
import { Chart, type Line } from "./chart";
import { DASH, figure } from "./format";
import { useFetched } from "./hooks";
import { linkOf, sweepLink } from "./jobs";
import { keyOf, useLive } from "./live";
import { Bar, Card, Phase, Tile } from "./parts";

interface Group {
  namespace: string;
  name: string;
  rows: Row[];
}

function groups(rows: Iterable<Row>): Group[] {
  const found = new Map<string, Group>();
  for (const row of rows) {
    if (!row.sweep) continue;
    const key = keyOf(row.namespace, row.sweep);
    const group = found.get(key) ?? { namespace: row.namespace, name: row.sweep, rows: [] };
    group.rows.push(row);
    found.set(key, group);
  }
  return [...found.values()].sort((a, b) => `${a.namespace}/${a.name}`.localeCompare(`${b.namespace}/${b.name}`));
}

const counted = (rows: Row[], phase: string): number => rows.filter((row) => row.phase === phase).length;

export function Sweeps() {
  const found = groups(useLive().rows.values());
  return (
    <>
      <div class="head">
        <h1>Sweeps</h1>
      </div>
      {found.length ? (
        <Card id="sweeps" title={`Sweeps with jobs (${found.length})`} wide>
          <div class="scroll" tabIndex={0} role="group" aria-labelledby="sweeps">
            <table>
              <thead>
                <tr>
                  {["Sweep", "Jobs", "Running", "Succeeded", "Failed"].map((name, at) => (
                    <th scope="col" class={at ? "num" : ""} key={name}>
                      {name}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {found.map(({ namespace, name, rows }) => (
                  <tr key={keyOf(namespace, name)}>
                    <th scope="row" class="who">
                      <a href={sweepLink(namespace, name)}>{name}</a>
                      <small>{namespace}</small>
                    </th>
                    <td class="num">{rows.length}</td>
                    {["Running", "Succeeded", "Failed"].map((phase) => (
                      <td class="num" key={phase}>
                        {counted(rows, phase)}
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Card>
      ) : (
        <p class="empty">No job is a trial of a sweep. An LLMTrainingSweep tries many values of a job's fields: llmtrain run and llmtrain submit take its manifest.</p>
      )}
    </>
  );
}

/** A parameter's value is JSON: a text without its quotes. */
const text = (value: string | undefined): string => (value ?? DASH).replace(/^"(.*)"$/, "$1");

interface Order {
  by: string;
  down: boolean;
}

const TRIAL = "trial";
const METRIC = "metric";

function ranked(trial: Trial, by: string): number | string {
  if (by === TRIAL) return trial.number;
  if (by === METRIC) return trial.value ?? Number.NaN;
  const value = text(trial.values[by]);
  return value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
}

/** Numbers as numbers, and a trial without a value last, whichever way. */
function sorted(trials: Trial[], { by, down }: Order): Trial[] {
  const missing = (trial: Trial) => by === METRIC && trial.value === null;
  return [...trials].sort((a, b) => {
    if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b)) || a.number - b.number;
    const [left, right] = [ranked(a, by), ranked(b, by)];
    const turn = typeof left === "number" && typeof right === "number" ? left - right : String(left).localeCompare(String(right));
    return (down ? -turn : turn) || a.number - b.number || a.round - b.round;
  });
}

interface ColumnProps {
  name: string;
  by: string;
  order: Order;
  choose: (order: Order) => void;
  figures?: boolean;
}

function Column({ name, by, order, choose, figures = true }: ColumnProps) {
  const mine = order.by === by;
  return (
    <th scope="col" class={figures ? "num" : ""} aria-sort={mine ? (order.down ? "descending" : "ascending") : "none"}>
      <button type="button" class="sort" onClick={() => choose({ by, down: mine && !order.down })}>
        {name}
        <span aria-hidden="true">{mine ? (order.down ? " ▾" : " ▴") : ""}</span>
      </button>
    </th>
  );
}

function TrialLine({ trial, sweep }: { trial: Trial; sweep: Found }) {
  const best = trial.job === sweep.best;
  return (
    <tr class={best ? "chosen" : ""}>
      <th scope="row" class="who">
        {trial.row ? <a href={linkOf(trial.row)}>{trial.job}</a> : trial.job}
        {best ? <small>best</small> : null}
      </th>
      {sweep.fields.map((field) => (
        <td class="num" key={field}>
          {text(trial.values[field])}
        </td>
      ))}
      <td class="state">
        <Phase phase={trial.phase} />
        {trial.message ? <small class="told">{trial.message}</small> : null}
      </td>
      <td>{trial.row ? <Bar row={trial.row} /> : DASH}</td>
      <td class="num">{figure(trial.value, 5)}</td>
    </tr>
  );
}

function Trials({ sweep }: { sweep: Found }) {
  const [order, choose] = useState<Order>({ by: TRIAL, down: false });
  return (
    <Card id="trials" title={`Trials (${sweep.trials.length})`} wide>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="trials">
        <table>
          <thead>
            <tr>
              <Column name="Trial" by={TRIAL} order={order} choose={choose} figures={false} />
              {sweep.fields.map((field) => (
                <Column key={field} name={field} by={field} order={order} choose={choose} />
              ))}
              <th scope="col">Phase</th>
              <th scope="col">Progress</th>
              <Column name={sweep.metric || "value"} by={METRIC} order={order} choose={choose} />
            </tr>
          </thead>
          <tbody>
            {sorted(sweep.trials, order).map((trial) => (
              <TrialLine key={trial.job} trial={trial} sweep={sweep} />
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

/** One line a trial; the best one's is drawn last, over the others. */
function linesOf(sweep: Found | null): Line[] {
  return Object.entries(sweep?.curves ?? {})
    .map(([job, curve]) => ({
      label: job,
      colour: job === sweep?.best ? "--run" : "--muted",
      steps: (curve.columns["step"] ?? []) as number[],
      values: curve.columns["loss"] ?? [],
    }))
    .sort((a, b) => Number(a.label === sweep?.best) - Number(b.label === sweep?.best));
}

export function Sweep({ namespace, name, theme }: { namespace: string; name: string; theme: string }) {
  const { rows } = useLive();
  const news = [...rows.values()]
    .filter((row) => row.sweep === name && row.namespace === namespace)
    .map((row) => `${row.name} ${row.phase} ${row.step}`)
    .join();
  const path = `/api/sweeps/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  const { found, refused } = useFetched<Found>(path, news, 2000);
  const lines = useMemo(() => linesOf(found), [found]);
  if (!found) return <p class="empty">{refused ? refused.message : "Looking …"}</p>;
  const best = found.trials.find((trial) => trial.job === found.best);
  const chosen = best ? found.fields.map((field) => `${field} = ${text(best.values[field])}`).join(", ") : "";
  return (
    <>
      <nav class="crumbs" aria-label="Where you are">
        <a href="#/sweeps">Sweeps</a> / {namespace}
      </nav>
      <div class="head">
        <h1>{name}</h1>
        <Phase phase={found.phase} />
      </div>
      {found.message ? <p class="told">{found.message}</p> : null}
      <dl class="tiles">
        <Tile label="Trials over" value={found.summary || DASH} />
        <Tile label={`Best ${found.metric || "value"}`} value={figure(best?.value ?? null, 5)} note={found.minimizes ? "less is better" : "more is better"} />
        <Tile label="Best trial" value={found.best || DASH} note={chosen} />
      </dl>
      <div class="cards">
        <Card id="curves" title="Loss" wide>
          {lines.some((line) => line.steps.length) ? (
            <Chart title="Training loss by step, the best trial's in colour" lines={lines} theme={theme} />
          ) : (
            <p class="empty">No trial has done a step.</p>
          )}
        </Card>
        <Trials sweep={found} />
      </div>
    </>
  );
}
