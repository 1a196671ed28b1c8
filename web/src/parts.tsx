// Small pieces that several views are made of.
import type { ComponentChildren } from "preact";
import type { Part, Row } from "./api";
import { DASH, figure, tone, whole } from "./format";

export function Phase({ phase }: { phase: string }) {
  return (
    <span class={`phase ${tone(phase)}`}>
      <i aria-hidden="true" />
      {phase}
    </span>
  );
}

export function Bar({ row }: { row: Row }) {
  if (row.step === null && row.percent === null) return <span class="muted">{DASH}</span>;
  const percent = row.percent ?? 0;
  return (
    <span class="progress">
      <progress max={100} value={percent} aria-label={`Progress of ${row.name}`} />
      <span class="num">{row.step === null ? `${percent}%` : `${whole(row.step)} / ${whole(row.totalSteps)}`}</span>
    </span>
  );
}

export function Tile({ label, value, note }: { label: string; value: string; note?: string }) {
  return (
    <div class="tile">
      <dt>{label}</dt>
      <dd>
        <b>{value}</b>
        {note ? <small>{note}</small> : null}
      </dd>
    </div>
  );
}

export function Card({ title, id, children, wide }: { title: string; id: string; children: ComponentChildren; wide?: boolean }) {
  return (
    <section class={wide ? "card wide" : "card"} aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {children}
    </section>
  );
}

/** Two columns: a name and what is known. */
export function Facts({ rows }: { rows: string[][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, text]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Figures of a report: whole numbers with separators, others with decimals; lists and texts are told elsewhere. */
export function figures(found: Record<string, unknown>): string[][] {
  return Object.entries(found)
    .filter((one): one is [string, number] => typeof one[1] === "number")
    .map(([name, value]) => [
      name.replace(/([a-z])([A-Z0-9])/g, "$1 $2").toLowerCase(),
      Number.isInteger(value) ? whole(value) : figure(value),
    ]);
}

export function Differences({ parts, names }: { parts: Part[]; names: string[] }) {
  return (
    <>
      {parts.map((part) => (
        <Card key={part.title} id={`part-${part.title}`} title={part.title} wide>
          <div class="scroll" tabIndex={0} role="group" aria-labelledby={`part-${part.title}`}>
            <table>
              <thead>
                <tr>
                  <th scope="col">Field</th>
                  {names.map((name) => (
                    <th scope="col" key={name}>
                      {name}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {part.rows.map(([field, ...values]) => (
                  <tr key={field}>
                    <th scope="row">
                      <code>{field}</code>
                    </th>
                    {values.map((value, at) => (
                      <td key={at}>{value}</td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Card>
      ))}
    </>
  );
}
