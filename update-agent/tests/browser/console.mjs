// Drives Chromium through the console. Arguments: address, claim code, password, id of a staged package, folder for pictures, folder of
// node modules, the operator's depot.json, port of a mail server. Ends with 1 and says why when something is not as it should be.
import { createRequire } from "node:module";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { strict as assert } from "node:assert";

const [address, code, password, staged, pictures, modules, setting, port] = process.argv.slice(2);
const require = createRequire(join(modules, "console.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const PAGES = ["status", "confirm?what=restart", "confirm?what=shutdown", "updates", "updates/way", "updates/install", "history", "health", "licences", "network", "mail", "certificates", "backups", "accounts", "audit", "support", "reset"];
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});

// What a page must never do: load from elsewhere, break its own policy, or fail in its script.
const complaints = [];
const watch = (page) => {
  page.on("console", (line) => { if (line.type() === "error") { complaints.push(`${page.url()}: ${line.text()}`); } });
  page.on("pageerror", (problem) => complaints.push(`${page.url()}: ${problem}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith("data:")) { complaints.push(`asks for ${request.url()}`); }
  });
};

const accessible = async (page, what) => {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] }));
  const said = found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).slice(0, 3).join(" ")}`);
  assert.deepEqual(said, [], `${what} for screen readers and eyes`);
};

const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: "en-GB", viewport: { width: 1200, height: 800 } });
const page = await context.newPage();
watch(page);

// The first account.
await page.goto(`${address}/`);
assert.equal(new URL(page.url()).pathname, "/claim");
await accessible(page, "claim");
await page.screenshot({ path: join(pictures, "claim-en-light.png"), fullPage: true });
await page.getByLabel("Claim code").fill(code.toLowerCase());
await page.getByLabel("Name").fill("anna");
await page.getByLabel("New password").fill(password);
await page.keyboard.press("Enter");
await page.waitForURL("**/status");

// Every page in both languages and colours, and on a phone.
for (const language of ["en", "de"]) {
  for (const theme of ["light", "dark"]) {
    await page.goto(`${address}/status`);
    await page.locator("footer select[name=language]").selectOption(language);
    await page.locator("footer select[name=theme]").selectOption(theme);
    await page.locator("footer button").click();
    await page.waitForURL("**/status");
    for (const place of PAGES) {
      await page.goto(`${address}/${place}`);
      assert.equal(await page.locator("html").getAttribute("lang"), language, place);
      assert.equal(await page.locator("h1").count(), 1, place);
      await accessible(page, `${place} (${language}, ${theme})`);
      await page.screenshot({ path: join(pictures, `${place.replace(/[^a-z]/g, "-")}-${language}-${theme}.png`), fullPage: true });
    }
  }
}
await page.setViewportSize({ width: 360, height: 740 });
for (const place of PAGES) {
  await page.goto(`${address}/${place}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${place} is ${wide} pixels wider than a phone`);
}
await page.screenshot({ path: join(pictures, "phone-de-dark.png"), fullPage: true });
await page.setViewportSize({ width: 1200, height: 800 });

// By keyboard: the first stop skips the navigation.
await page.goto(`${address}/status`);
await page.keyboard.press("Tab");
assert.ok(await page.locator("a.skip").evaluate((link) => link === document.activeElement), "the first stop");
await page.keyboard.press("Enter");
assert.equal(new URL(page.url()).hash, "#content");

// An update, watched to its end without loading the page again; the button pressed twice begins it once.
await page.goto(`${address}/updates`);
await page.locator(`a[href="/updates/install?staged=${staged}"]`).click();
await page.waitForURL("**/updates/install?staged=*");
assert.ok(await page.locator("[data-finding=suits]").count() === 1, "what was looked at is shown before");
await accessible(page, "before an installation");
await page.screenshot({ path: join(pictures, "install-de-dark.png"), fullPage: true });
const install = page.locator("form[action='/do/install']");
await install.locator("button").first().dblclick();
await page.locator("#live section").first().waitFor();
await page.waitForFunction(() => document.querySelector("#live progress, #live [data-working]") === null
  && document.querySelector("#live section") !== null, null, { timeout: 120000 });
assert.match(await page.locator("#live").textContent(), /demo-site 11\.0\.0/);
await page.goto(`${address}/audit`);
assert.equal(await page.locator("tr", { hasText: "install staged" }).count(), 1, "pressed twice, begun once");

const folder = mkdtempSync(join(tmpdir(), "console-"));
// A certificate chosen as a file, imported and bound.
execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "30", "-subj", "/CN=shop",
  "-addext", "subjectAltName=DNS:shop.example", "-keyout", "key.pem", "-out", "shop.pem"], { cwd: folder, stdio: "ignore" });
await page.goto(`${address}/certificates`);
await page.locator("input[name=file]").setInputFiles([join(folder, "shop.pem"), join(folder, "key.pem")]);
await page.locator("form[action='/do/import-certificate'] button:not([name])").click();
assert.match(await page.locator("main").textContent(), /shop\.example/);
await page.goto(`${address}/certificates`);
const shop = page.locator("section", { has: page.getByRole("heading", { name: "shop.example" }) });
const bind = shop.locator("details", { has: page.locator("form[action='/do/bind-certificate']") });
await bind.locator("summary").click();
await bind.locator("select").selectOption("name");
await bind.locator("input[name=at]").fill("shop.example");
await bind.locator("button").click();
await shop.locator("button[disabled]").waitFor();
await accessible(page, "certificates with one that is bound");
await page.screenshot({ path: join(pictures, "certificates-bound-de-dark.png"), fullPage: true });

// A backup, made and downloaded.
await page.goto(`${address}/backups`);
const form = page.locator("form[action='/do/create-backup']");
await form.locator("input[name=passphrase]").fill(password);
await form.locator("input[name=again]").fill(password);
await form.locator("button").click();
await page.locator("a[href^='/download/backup/']").waitFor({ timeout: 60000 });
await accessible(page, "backups with one that is kept");
await page.screenshot({ path: join(pictures, "backups-kept-de-dark.png"), fullPage: true });
const saved = page.waitForEvent("download");
await page.locator("a[href^='/download/backup/']").click();
assert.match(readFileSync(await (await saved).path(), "latin1"), /^age-encryption\.org\/v1\n/);
await page.locator("a[href^='/backups/contents']").click();
await accessible(page, "contents of a backup");
await page.setViewportSize({ width: 360, height: 740 });
for (const place of ["certificates", "backups"]) {
  await page.goto(`${address}/${place}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${place} with something on it is ${wide} pixels wider than a phone`);
}
await page.setViewportSize({ width: 1200, height: 800 });

// Who is told by mail, once an operator set it, and a test that arrives.
writeFileSync(setting, JSON.stringify({ format: 1, "check-hours": 0,
  mail: { server: "localhost", port: Number(port), security: "none", from: "demo@shop.example", to: ["it@shop.example"] } }));
await page.goto(`${address}/mail`);
await page.locator("form[action='/do/test-mail'] button").click();
await page.locator("#live section", { hasText: "took a test for it@shop.example" }).waitFor({ timeout: 60000 });
await accessible(page, "mail that is set");
await page.screenshot({ path: join(pictures, "mail-set-de-dark.png"), fullPage: true });

// The support bundle, with what is taken out of it, made and downloaded.
await page.goto(`${address}/support`);
const bundle = page.waitForEvent("download");
await page.locator("form[action='/do/support'] button").click();
const bundled = await bundle;
assert.match(bundled.suggestedFilename(), /^support-\d{8}-\d{6}\.tar\.zst$/);
assert.match(execFileSync("tar", ["--zstd", "-tf", await bundled.path()], { encoding: "utf8" }), /^support\/manifest\.json\n/);
await page.screenshot({ path: join(pictures, "support-made-de-dark.png"), fullPage: true });

// A file in pieces, one of which is lost on its way: it goes on by itself, and what comes of it is shown.
await page.goto(`${address}/updates`);
const file = Buffer.alloc(3 << 20);
file.write("ustar", 257);
let pieces = 0;
await page.route("**/upload/piece?*", (route) => {
  pieces += 1;
  return pieces === 3 ? route.abort("connectionreset") : route.continue();
});
await page.locator("form[action='/upload?package'] input[type=file]").setInputFiles({ name: "it.pkg", mimeType: "application/octet-stream", buffer: file });
await page.locator("form[action='/upload?package'] button").click();
await page.waitForFunction(() => document.querySelector("#live .problem") !== null, null, { timeout: 60000 });
assert.equal(pieces, 7, "six pieces, and the lost one once more");
const lost = complaints.filter((one) => one.includes("ERR_CONNECTION_RESET"));
assert.equal(lost.length, 1, "the browser itself complains about the lost one");
complaints.splice(complaints.indexOf(lost[0]), 1);

// Without the script: sign out, a wrong password, the right one, a page.
const bare = await browser.newContext({ ignoreHTTPSErrors: true, locale: "de-DE", javaScriptEnabled: false });
const plain = await bare.newPage();
watch(plain);
await plain.goto(`${address}/audit`);
assert.equal(new URL(plain.url()).pathname, "/sign-in");
await plain.getByLabel("Name").fill("anna");
await plain.getByLabel("Passwort").fill("ein falsches Passwort");
complaints.length = 0;
await plain.getByRole("button", { name: "Anmelden" }).click();
assert.match(await plain.getByRole("alert").textContent(), /wrong-password/);
// The browser itself complains about the status 401 of that answer, and about nothing else.
assert.ok(complaints.every((one) => one.includes("401")), complaints.join("\n"));
complaints.length = 0;
await plain.screenshot({ path: join(pictures, "sign-in-de-light.png"), fullPage: true });
await plain.getByLabel("Name").fill("anna");
await plain.getByLabel("Passwort").fill(password);
await plain.getByRole("button", { name: "Anmelden" }).click();
assert.equal(new URL(plain.url()).pathname, "/audit", "back where it was wanted");
await plain.getByRole("button", { name: "Abmelden" }).click();
assert.equal(new URL(plain.url()).pathname, "/sign-in");
assert.equal(await plain.goto(`${address}/status`).then((answer) => new URL(answer.url()).pathname), "/sign-in");

assert.deepEqual(complaints, []);
rmSync(folder, { recursive: true });
await browser.close();
