// Two jobs side by side: their curves over each other, and only what differs.
import { useMemo } from "preact/hooks";
import type { Comparison } from "./api";
import { Chart, type Line } from "./chart";
import { useFetched } from "./hooks";
import { linkOf } from "./jobs";
import { useLive } from "./live";
import { Card, Differences, Phase } from "./parts";

const COLOURS = ["--run", "--accent2"];

export function Compare({ a, b, theme }: { a: string; b: string; theme: string }) {
  const { rows } = useLive();
  const news = useMemo(() => ({}), [rows.get(a), rows.get(b)]);
  const { found, refused } = useFetched<Comparison>(`/api/compare?${new URLSearchParams({ a, b })}`, news, 2000);
  const lines = useMemo(
    (): Line[] =>
      (found?.curves ?? []).map((curve, at) => ({
        label: found?.rows[at]?.name ?? "",
        colour: COLOURS[at] ?? "--muted",
        steps: (curve.columns["step"] ?? []) as number[],
        values: curve.columns["loss"] ?? [],
      })),
    [found],
  );
  if (!found) return <p class="empty">{refused ? refused.message : "Comparing …"}</p>;
  return (
    <>
      <nav class="crumbs" aria-label="Where you are">
        <a href="#/jobs">Jobs</a> / compare
      </nav>
      <div class="head">
        <h1>
          {found.rows[0].name} and {found.rows[1].name}
        </h1>
      </div>
      <div class="versus">
        {found.rows.map((row, at) => (
          <a key={at} href={linkOf(row)}>
            <i class={`swatch s${at}`} aria-hidden="true" /> {row.namespace}/{row.name} <Phase phase={row.phase} />
          </a>
        ))}
      </div>
      <div class="cards">
        <Card id="losses" title="Loss" wide>
          {lines.some((line) => line.steps.length) ? <Chart title="Training loss by step" lines={lines} theme={theme} /> : <p class="empty">Neither has done a step.</p>}
        </Card>
        {found.parts.length ? <Differences parts={found.parts} names={found.rows.map((row) => row.name)} /> : <p class="empty">They do not differ.</p>}
      </div>
    </>
  );
}
