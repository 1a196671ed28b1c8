// Curves by uPlot, in the page's colours. A screen reader is told the figures instead.
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { figure } from "./format";

export interface Line {
  label: string;
  colour: string;
  steps: number[];
  values: (number | null)[];
  points?: boolean;
}

interface Props {
  title: string;
  lines: Line[];
  marks?: number[];
  theme: string;
  digits?: number;
}

const HEIGHT = 260;

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

function tickText(tick: number): string {
  if (tick !== 0 && Math.abs(tick) < 0.001) return tick.toExponential();
  return Math.abs(tick) >= 1000 ? SHORT.format(tick) : String(tick);
}

function aligned(lines: Line[]): uPlot.AlignedData {
  if (lines.length === 1 && lines[0]) return [lines[0].steps, lines[0].values];
  return uPlot.join(lines.map((line): uPlot.AlignedData => [line.steps, line.values]));
}

/** Where an attempt goes on from a checkpoint: a thin line. */
function marked(marks: () => number[]): uPlot.Plugin {
  const draw = (plot: uPlot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour("--muted");
    ctx.setLineDash([4, 4]);
    for (const mark of marks()) {
      const x = Math.round(plot.valToPos(mark, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };
  return { hooks: { draw } };
}

function options(props: Props, width: number, marks: () => number[]): uPlot.Options {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const shown = (_: uPlot, value: number | null) => figure(value, props.digits);
  return {
    width,
    height: HEIGHT,
    plugins: [marked(marks)],
    cursor: { y: false },
    legend: { live: true },
    scales: { x: { time: false } },
    axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(tickText) }],
    series: [
      { label: "step" },
      ...props.lines.map(
        (line): uPlot.Series => ({
          label: line.label,
          stroke: colour(line.colour),
          width: line.points ? 0 : 2,
          spanGaps: true,
          value: shown,
          points: line.points ? { show: true, size: 7, fill: colour(line.colour) } : { show: false },
        }),
      ),
    ],
  };
}

function told(lines: Line[]): string {
  return lines
    .map((line) => {
      const known = line.values.filter((value): value is number => value !== null);
      return `${line.label}: ${known.length} points, from ${figure(known[0])} to ${figure(known.at(-1))}`;
    })
    .join("; ");
}

export function Chart(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const marks = useRef<number[]>([]);
  marks.current = props.marks ?? [];
  const shape = props.lines.map((line) => `${line.label} ${line.colour}`).join() + props.theme;
  const data = useMemo(() => aligned(props.lines), [props.lines]);

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const made = new uPlot(options(props, element.clientWidth, () => marks.current), data, element);
    plot.current = made;
    const watching = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    watching.observe(element);
    return () => {
      watching.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data), [data]);

  return (
    <figure class="chart">
      <figcaption>{props.title}</figcaption>
      <div ref={place} role="img" aria-label={`${props.title}. ${told(props.lines)}`} data-points={props.lines[0]?.steps.length ?? 0} />
    </figure>
  );
}
