// Who waits for room, in which order and until when; and who has it.
import type { Row } from "./api";
import { DASH, ago, clock, span, whole } from "./format";
import { useNow } from "./hooks";
import { linkOf } from "./jobs";
import { keyOf, useLive } from "./live";
import { Bar, Card, Phase } from "./parts";

const HOLDS = ["Starting", "Running", "Restarting", "Suspending"];

function Waits({ row, now }: { row: Row; now: number }) {
  return (
    <tr>
      <td class="num">{row.waiting?.position ?? DASH}</td>
      <th scope="row" class="who">
        <a href={linkOf(row)}>{row.name}</a>
        <small>{row.namespace}</small>
      </th>
      <td>
        {row.waiting?.reason ?? DASH}
        <small class="told">{row.waiting?.message}</small>
      </td>
      <td class="num">{row.gpus || `${row.nodes} × CPU`}</td>
      <td class="num">{row.waiting?.since ? span((now - Date.parse(row.waiting.since)) / 1000) : DASH}</td>
      <td class="num" title={clock(row.waiting?.start ?? null)}>
        {row.waiting?.start ? ago(row.waiting.start, now) : "not known"}
      </td>
    </tr>
  );
}

export function Queue() {
  const now = useNow();
  const rows = [...useLive().rows.values()];
  const waiting = rows
    .filter((row) => row.phase === "Queued")
    .sort((a, b) => (a.waiting?.position ?? 1e9) - (b.waiting?.position ?? 1e9) || a.name.localeCompare(b.name));
  const holding = rows.filter((row) => HOLDS.includes(row.phase)).sort((a, b) => (a.eta ?? "9").localeCompare(b.eta ?? "9"));
  const gpus = holding.reduce((sum, row) => sum + row.gpus, 0);
  return (
    <>
      <div class="head">
        <h1>Queue</h1>
      </div>
      <Card id="waits" title={`Waiting for room (${waiting.length})`} wide>
        {waiting.length ? (
          <div class="scroll" tabIndex={0} role="group" aria-labelledby="waits">
            <table>
              <thead>
                <tr>
                  {["Place", "Job", "Why", "GPUs", "Waits since", "Room expected"].map((name) => (
                    <th scope="col" key={name}>
                      {name}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {waiting.map((row) => (
                  <Waits key={keyOf(row.namespace, row.name)} row={row} now={now} />
                ))}
              </tbody>
            </table>
          </div>
        ) : (
          <p class="empty">Nobody waits.</p>
        )}
      </Card>
      <Card id="holds" title={`Has nodes now (${holding.length}, ${whole(gpus)} GPUs)`} wide>
        {holding.length ? (
          <div class="scroll" tabIndex={0} role="group" aria-labelledby="holds">
            <table>
              <thead>
                <tr>
                  {["Job", "Phase", "Pods", "GPUs", "Progress", "Ends"].map((name) => (
                    <th scope="col" key={name}>
                      {name}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {holding.map((row) => (
                  <tr key={keyOf(row.namespace, row.name)}>
                    <th scope="row" class="who">
                      <a href={linkOf(row)}>{row.name}</a>
                      <small>{row.namespace}</small>
                    </th>
                    <td>
                      <Phase phase={row.phase} />
                    </td>
                    <td class="num">{row.pods || DASH}</td>
                    <td class="num">{row.gpus || "CPU"}</td>
                    <td>
                      <Bar row={row} />
                    </td>
                    <td class="num">{row.eta ? ago(row.eta, now) : "not known"}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        ) : (
          <p class="empty">No job has nodes.</p>
        )}
      </Card>
    </>
  );
}
