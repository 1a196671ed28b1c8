// Drives the page in a headless Chromium and tells what it saw as JSON. Arguments: the page's address, a folder
// for screenshots, the names of a job that runs, of one that failed, and of a sweep.
import { launched, log, moves } from "./browser.mjs";

const [address, folder, runs, failed, sweep] = process.argv.slice(2);
const { browser, origin, seen, fresh, check } = await launched(address);

async function open(width, scheme) {
  const page = await fresh(width, scheme);
  await page.goto(address);
  await page.getByRole("link", { name: runs }).waitFor();
  return page;
}

for (const [width, scheme] of [
  [1440, "light"],
  [390, "dark"],
]) {
  const page = await open(width, scheme);
  await check(page, `jobs ${width}`);
  await page.screenshot({ path: `${folder}/jobs-${width}.png` });

  await page.getByRole("link", { name: failed }).click();
  await page.getByRole("heading", { name: /^Why: / }).waitFor();
  seen.why = await page.locator(".why").innerText();
  await check(page, `failed ${width}`);
  await page.screenshot({ path: `${folder}/failed-${width}.png` });

  await page.goBack();
  await page.getByRole("link", { name: runs }).click();
  seen[`points${width}`] = await moves(page);
  seen.log = await log(page);
  await check(page, `job ${width}`);
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${folder}/job-${width}.png` });
  await page.screenshot({ path: `${folder}/whole-${width}.png`, fullPage: true });

  await page.goto(`${origin}/#/queue`);
  await page.getByRole("heading", { name: "Queue" }).waitFor();
  await check(page, `queue ${width}`);
  await page.goto(`${origin}/#/compare/${encodeURIComponent(`default/${runs}`)}/${encodeURIComponent(`default/${failed}`)}`);
  await page.locator(".versus").waitFor();
  await check(page, `compare ${width}`);
  await page.screenshot({ path: `${folder}/compare-${width}.png` });

  await page.goto(`${origin}/#/sweeps`);
  await page.getByRole("link", { name: sweep, exact: true }).click();
  await page.getByRole("button", { name: "evalLoss" }).click();
  await page.waitForFunction(() => document.querySelector("th[aria-sort=ascending] button")?.textContent.startsWith("evalLoss"));
  seen.sorted = await page.locator("#trials ~ .scroll tbody th a").allInnerTexts();
  seen.best = await page.locator(".tiles").innerText();
  await check(page, `sweep ${width}`);
  await page.screenshot({ path: `${folder}/sweep-${width}.png` });
  await page.context().close();
}

// by the keyboard alone: the filter, then the job, then its action
const page = await open(1440, "light");
await page.keyboard.press("/");
await page.keyboard.type(runs);
await page.waitForFunction(() => document.querySelectorAll("table.jobs tbody tr").length === 1);
await page.getByRole("link", { name: runs }).focus();
await page.keyboard.press("Enter");
await page.getByRole("button", { name: "Suspend" }).focus();
await page.keyboard.press("Enter");
await page.locator("h1 .phase", { hasText: "Suspended" }).waitFor({ timeout: 120_000 });
seen.suspended = await page.locator(".why").innerText();

// who has no token is asked for one
const stranger = await fresh(1440, "light");
await stranger.goto(origin);
await stranger.getByRole("heading", { name: "Who are you?" }).waitFor();
seen.stranger = await stranger.locator("main").innerText();
await check(stranger, "login");
await browser.close();
console.log(JSON.stringify(seen));
