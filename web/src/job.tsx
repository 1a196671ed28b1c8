// One job: why it stands where it stands comes first.
import { useMemo, useState } from "preact/hooks";
import { type Action, type Curve, type Detail, type Row, Refused, act, jobPath } from "./api";
import { Chart, type Line } from "./chart";
import { DASH, ago, clock, figure, span, tone, whole, words } from "./format";
import { useFetched, useNow } from "./hooks";
import { keyOf, useLive } from "./live";
import { Logs } from "./logs";
import { Card, Facts, Phase, Tile, figures } from "./parts";

const METRICS: [string, string, number][] = [
  ["tokensPerSecond", "Tokens per second", 0],
  ["learningRate", "Learning rate", 6],
  ["gradNorm", "Gradient norm", 3],
  ["mfu", "MFU", 3],
];
const TITLES: Record<Action, string> = { suspend: "Suspend", resume: "Resume", retry: "Retry", delete: "Delete" };

function Actions({ detail }: { detail: Detail }) {
  const [said, say] = useState("");
  const [busy, setBusy] = useState(false);
  const [asks, setAsks] = useState(false);
  const { namespace, name } = detail.row;
  const go = async (action: Action) => {
    if (action === "delete" && !asks) {
      setAsks(true);
      return;
    }
    setAsks(false);
    setBusy(true);
    say(`${TITLES[action]} …`);
    try {
      await act(namespace, name, action);
      say(`${TITLES[action]}: asked for`);
      if (action === "delete") location.hash = "#/jobs";
    } catch (error) {
      say(error instanceof Refused ? error.message : String(error));
    }
    setBusy(false);
  };
  return (
    <div class="tools actions">
      {detail.actions.map((action) => (
        <button key={action} type="button" class={action === "delete" ? "danger" : ""} disabled={busy} onClick={() => go(action)}>
          {action === "delete" && asks ? `Delete ${name}? Its output stays` : TITLES[action]}
        </button>
      ))}
      {asks ? (
        <button type="button" onClick={() => setAsks(false)}>
          Keep it
        </button>
      ) : null}
      <span role="status" class="said">
        {said}
      </span>
    </div>
  );
}

/** A command with what it is for behind a #. */
function Fix({ text }: { text: string }) {
  const found = /^((?:llmtrain|kubectl) .*?)(?:\s+#\s+(.*))?$/.exec(text);
  if (!found) return <li>{text}</li>;
  return (
    <li>
      <code>{found[1]}</code>
      {found[2] ? <small>{found[2]}</small> : null}
    </li>
  );
}

function WhyBox({ detail }: { detail: Detail }) {
  const { why } = detail;
  return (
    <section class={`why ${tone(why.state === "Unseen" ? "Failed" : detail.row.phase)}`} aria-labelledby="why">
      <h2 id="why">{why.reason ? `Why: ${why.reason}` : "Where it stands"}</h2>
      <p>{why.paragraph}</p>
      {why.evidence.length || why.fix.length ? (
        <div class="two">
          {why.fix.length ? (
            <div>
              <h3>What to do</h3>
              <ul>
                {why.fix.map((text) => (
                  <Fix key={text} text={text} />
                ))}
              </ul>
            </div>
          ) : null}
          {why.evidence.length ? (
            <div>
              <h3>Evidence</h3>
              <ul>
                {why.evidence.map((text) => (
                  <li key={text}>{text}</li>
                ))}
              </ul>
            </div>
          ) : null}
        </div>
      ) : null}
      {why.logTail.length ? (
        <>
          <h3>End of its log</h3>
          <pre class="log short" tabIndex={0} role="group" aria-label="End of the log">
            {why.logTail.join("\n")}
          </pre>
        </>
      ) : null}
    </section>
  );
}

function Curves({ curve, theme }: { curve: Curve; theme: string }) {
  const [metric, setMetric] = useState("tokensPerSecond");
  const columns = curve.columns;
  const steps = (columns["step"] ?? []) as number[];
  const attempts = columns["attempt"] ?? [];
  const marks = steps.filter((_, at) => at > 0 && attempts[at] !== attempts[at - 1]);
  const known = METRICS.filter(([name]) => columns[name]);
  const [name, title, digits] = known.find(([one]) => one === metric) ?? known[0] ?? METRICS[0]!;
  const loss = useMemo((): Line[] => {
    const lines: Line[] = [{ label: "training", colour: "--run", steps, values: columns["loss"] ?? [] }];
    const held = columns["evalLoss"];
    if (held) lines.push({ label: "held-out", colour: "--accent2", steps, values: held, points: true });
    return lines;
  }, [curve]);
  const other = useMemo((): Line[] => [{ label: title.toLowerCase(), colour: "--good", steps, values: columns[name] ?? [] }], [curve, name]);
  if (!steps.length) return <p class="empty">No step is done yet.</p>;
  return (
    <div class="charts">
      <div>
        <Chart title="Loss" lines={loss} marks={marks} theme={theme} />
        {marks.length ? <p class="muted">A dashed line is where an attempt went on from a checkpoint.</p> : null}
      </div>
      {known.length ? (
        <div>
          <Chart title={title} lines={other} marks={marks} theme={theme} digits={digits} />
          <div class="chips" role="group" aria-label="Second chart">
            {known.map(([one, label]) => (
              <button key={one} type="button" aria-pressed={one === name} onClick={() => setMetric(one)}>
                {label}
              </button>
            ))}
          </div>
        </div>
      ) : null}
    </div>
  );
}

function Phases({ phases }: { phases: Record<string, number> }) {
  const found = Object.entries(phases).filter(([, seconds]) => seconds > 0).sort((a, b) => b[1] - a[1]);
  const total = found.reduce((sum, [, seconds]) => sum + seconds, 0);
  if (!total) return null;
  return (
    <Card id="phases" title="Where a step's time goes">
      <ul class="phases">
        {found.map(([name, seconds]) => (
          <li key={name}>
            <span>{words(name.replace("_", " and "))}</span>
            <progress max={total} value={seconds} aria-label={words(name)} />
            <span class="num">
              {seconds >= 1 ? `${figure(seconds, 2)} s` : `${figure(seconds * 1000, 1)} ms`} · {Math.round((100 * seconds) / total)}%
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Attempts({ detail }: { detail: Detail }) {
  if (!detail.attempts.length) return null;
  return (
    <Card id="attempts" title="Attempts" wide>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="attempts">
        <table>
          <thead>
            <tr>
              {["Attempt", "Began", "Was up", "From step", "Steps", "End", "Node", "Why"].map((name) => (
                <th scope="col" key={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {detail.attempts.map((one) => (
              <tr key={one.number}>
                <th scope="row">{one.number}</th>
                <td>{clock(one.started)}</td>
                <td>{span(one.seconds)}</td>
                <td class="num">{one.from}</td>
                <td class="num">
                  {one.gained === null ? DASH : `+${one.gained}`}
                  {one.lost ? ` −${one.lost}` : ""}
                </td>
                <td class={one.failed ? "bad-text" : ""}>{one.end}</td>
                <td>{one.node || DASH}</td>
                <td class="long">{one.message || DASH}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Events({ detail, now }: { detail: Detail; now: number }) {
  return (
    <Card id="events" title="Events">
      {detail.eventsNote ? <p class="note">{detail.eventsNote}</p> : null}
      {detail.events.length ? (
        <ol class="events" tabIndex={0} aria-labelledby="events">
          {detail.events
            .slice()
            .reverse()
            .map((event, at) => (
              <li key={at} class={event.warning ? "warning" : ""}>
                <time title={clock(event.time)} dateTime={event.time ?? ""}>
                  {ago(event.time, now)}
                </time>
                <span>
                  <b>{event.reason}</b> {event.about ? `${event.about}: ` : ""}
                  {event.message}
                  {event.count > 1 ? ` (${event.count} times)` : ""}
                </span>
              </li>
            ))}
        </ol>
      ) : detail.eventsNote ? null : (
        <p class="empty">None is kept any more.</p>
      )}
    </Card>
  );
}

function Data({ detail }: { detail: Detail }) {
  const samples = (detail.data?.["samples"] ?? []) as string[];
  return (
    <>
      {detail.data ? (
        <Card id="data" title="Data report">
          <Facts rows={figures(detail.data)} />
        </Card>
      ) : null}
      {detail.answers ? (
        <Card id="answers" title="Answers, from 0 to 100">
          <Facts rows={figures(detail.answers)} />
        </Card>
      ) : null}
      {detail.scores ? (
        <Card id="scores" title="Scores of held-out samples">
          <Facts rows={figures(detail.scores)} />
        </Card>
      ) : null}
      {samples.length ? (
        <Card id="samples" title="What it is trained on" wide>
          <p class="muted">What stands between ⟪ and ⟫ is read, but not trained on.</p>
          {samples.map((text) => (
            <pre key={text} class="sample">
              {text}
            </pre>
          ))}
        </Card>
      ) : null}
      {detail.sample ? (
        <Card id="sample" title="Text by the trained model" wide>
          <pre class="sample">{detail.sample}</pre>
        </Card>
      ) : null}
    </>
  );
}

function Layout({ layout }: { layout: NonNullable<Detail["layout"]> }) {
  const cuts = Object.entries(layout).filter((one): one is [string, number] => typeof one[1] === "number");
  return (
    <Card id="layout" title="Layout">
      <dl class="tiles small">
        {cuts.map(([name, value]) => (
          <Tile key={name} label={name === "zero" ? "ZeRO stage" : words(name)} value={String(value)} />
        ))}
      </dl>
      {layout["why"] ? <p class="muted">{String(layout["why"])}</p> : null}
    </Card>
  );
}

/** Of a run of this machine the curve is ahead of what is on record. */
function newest(row: Row, curve: Curve | null): Row {
  const step = curve?.columns["step"]?.at(-1);
  if (!curve || row.over || typeof step !== "number" || step <= (row.step ?? 0)) return row;
  const last = (name: string) => curve.columns[name]?.at(-1) ?? null;
  const percent = row.totalSteps ? Math.floor((100 * step) / row.totalSteps) : row.percent;
  return { ...row, step, percent, loss: last("loss") ?? row.loss, tokensPerSecond: last("tokensPerSecond") ?? row.tokensPerSecond };
}

export function Job({ namespace, name, theme }: { namespace: string; name: string; theme: string }) {
  const live = useLive();
  const now = useNow();
  const news = live.rows.get(keyOf(namespace, name));
  const path = jobPath(namespace, name);
  const { found: detail, refused } = useFetched<Detail>(path, news);
  const { found: curve } = useFetched<Curve>(`${path}/curve`, news);
  if (!detail) return <p class="empty">{refused ? refused.message : `Looking for ${name} …`}</p>;
  const row = newest(news ?? detail.row, curve);
  const gone = live.link === "live" && !news;
  const cost = detail.facts.find((part) => part.title === "What it took")?.rows ?? [];
  return (
    <>
      <nav class="crumbs" aria-label="Where you are">
        <a href="#/jobs">Jobs</a> / {namespace}
      </nav>
      <div class="head">
        <h1>
          {name} <Phase phase={gone ? "Deleted" : row.phase} />
        </h1>
        {gone ? null : <Actions detail={detail} />}
      </div>
      <dl class="tiles">
        <Tile label="Step" value={row.step === null ? DASH : whole(row.step)} note={row.totalSteps === null ? "" : `of ${whole(row.totalSteps)}${row.percent === null ? "" : ` · ${row.percent}%`}`} />
        <Tile label="Loss" value={figure(row.loss)} note="nats per token" />
        <Tile label="Held-out loss" value={figure(row.evalLoss)} note={row.evalLoss === null ? "" : `perplexity ${figure(Math.exp(row.evalLoss), 2)}`} />
        <Tile label="Speed" value={whole(row.tokensPerSecond)} note={row.mfu ? `tokens/s · MFU ${Math.round(row.mfu * 100)}%` : "tokens/s"} />
        <Tile label="Ends" value={row.over ? "over" : row.eta ? ago(row.eta, now) : DASH} note={row.over || !row.eta ? "" : clock(row.eta)} />
        <Tile label="Took" value={cost.find(([key]) => key === "cost")?.[1] ?? cost.find(([key]) => key === "GPU time")?.[1] ?? cost.find(([key]) => key === "up")?.[1] ?? DASH} note={`${row.restarts} restarts · ${row.pods || DASH} pods`} />
      </dl>
      <WhyBox detail={detail} />
      <div class="cards">
        <Card id="curves" title="Curves" wide>
          {curve ? <Curves curve={curve} theme={theme} /> : <p class="empty">Looking …</p>}
        </Card>
        {curve ? <Phases phases={curve.phases} /> : null}
        {detail.layout ? <Layout layout={detail.layout} /> : null}
        {detail.facts.map((part) => (
          <Card key={part.title} id={`facts-${part.title.replaceAll(" ", "-")}`} title={part.title}>
            <Facts rows={part.rows} />
          </Card>
        ))}
        <Attempts detail={detail} />
        <Logs row={row} ranks={detail.ranks} attempts={detail.attempts} />
        <Events detail={detail} now={now} />
        <Data detail={detail} />
        <Card id="spec" title="Spec" wide>
          <details>
            <summary>As it was applied</summary>
            <pre class="sample">{detail.spec}</pre>
          </details>
        </Card>
      </div>
    </>
  );
}
