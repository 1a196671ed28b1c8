// Numbers and moments as words. Nothing is shown where nothing is known.

export const DASH = "–";

export function figure(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  return value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e6) ? value.toExponential(2) : value.toFixed(digits);
}

export function whole(value: number | null | undefined): string {
  return value === null || value === undefined ? DASH : Math.round(value).toLocaleString("en");
}

const UNITS: [string, number][] = [
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

export function span(seconds: number): string {
  const parts: string[] = [];
  let left = Math.max(Math.round(seconds), 0);
  for (const [name, size] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${name}`);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0 s";
}

export function ago(moment: string | null, now: number): string {
  if (!moment) return DASH;
  const seconds = (now - Date.parse(moment)) / 1000;
  if (Math.abs(seconds) < 2) return "now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

export function clock(moment: string | null): string {
  return moment ? new Date(moment).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : DASH;
}

/** camelCase as words. */
export function words(name: string): string {
  const text = name.replace(/([a-z])([A-Z0-9])/g, "$1 $2").toLowerCase();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export type Tone = "good" | "run" | "wait" | "bad" | "still";

export function tone(phase: string): Tone {
  if (phase === "Succeeded") return "good";
  if (phase === "Running") return "run";
  if (phase === "Failed" || phase === "Refused") return "bad";
  if (phase === "Suspended" || phase === "Suspending") return "still";
  return "wait";
}
