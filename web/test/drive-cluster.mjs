// Drives the page of a real cluster and tells what it saw as JSON. Arguments: the page's address, a folder for
// screenshots, and a file with the tokens of a user and of a stranger, the user's namespace and its jobs: two
// that run, one that waits, one that failed.
import { readFileSync } from "node:fs";
import { launched, log, moves } from "./browser.mjs";

const [address, folder, file] = process.argv.slice(2);
const { user, stranger, namespace, runs, beside, waits, failed } = JSON.parse(readFileSync(file, "utf8"));
const { browser, origin, seen, fresh, check } = await launched(address);

async function enter(page, token) {
  await page.goto(origin);
  await page.getByLabel("Your token for the cluster").fill(token);
  await page.getByRole("button", { name: "Show my jobs" }).click();
}

const open = (page, view) => page.goto(`${origin}/#/${view}`);
const job = (name) => `job/${namespace}/${name}`;

for (const [width, scheme] of [
  [1440, "light"],
  [390, "dark"],
]) {
  const page = await fresh(width, scheme);
  await enter(page, user);
  await page.getByRole("link", { name: runs, exact: true }).waitFor();
  await check(page, `jobs ${width}`);
  await page.screenshot({ path: `${folder}/cluster-jobs-${width}.png` });
  seen[`jobs${width}`] = await page.locator("table.jobs th.who a").allInnerTexts();

  await open(page, job(runs));
  seen[`points${width}`] = await moves(page);
  seen[`log${width}`] = await log(page);
  await check(page, `job ${width}`);

  await open(page, job(failed));
  await page.getByRole("heading", { name: /^Why: / }).waitFor();
  seen.why = await page.locator(".why").innerText();
  await check(page, `failed ${width}`);

  await open(page, "queue");
  await page.getByRole("link", { name: waits, exact: true }).waitFor();
  seen.queue = await page.locator("#waits ~ .scroll tbody").innerText();
  await check(page, `queue ${width}`);
  await page.screenshot({ path: `${folder}/cluster-queue-${width}.png` });

  await open(page, `compare/${[runs, beside].map((name) => encodeURIComponent(`${namespace}/${name}`)).join("/")}`);
  await page.locator(".versus").waitFor();
  seen.compared = await page.locator("main").innerText();
  await check(page, `compare ${width}`);
  await page.context().close();
}

const page = await fresh(1440, "light");
await enter(page, user);
await open(page, job(beside));
await page.getByRole("button", { name: "Suspend" }).click();
await page.locator("h1 .phase", { hasText: "Suspended" }).waitFor({ timeout: 120_000 });
await page.getByRole("button", { name: "Resume" }).click();
await page.locator("h1 .phase", { hasText: "Running" }).waitFor({ timeout: 120_000 });
seen.resumed = await page.locator("main").innerText();

const other = await fresh(1440, "light");
await enter(other, stranger);
await other.getByRole("heading", { name: "You may not see jobs here" }).waitFor();
seen.stranger = await other.locator("main").innerText();
await check(other, "stranger");
await browser.close();
console.log(JSON.stringify(seen));
