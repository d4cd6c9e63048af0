"use strict";
// What pages do more with a script: what is being done now is asked for again and again, also through a restart of the appliance; and a
// form is sent once, however often its button is pressed.
(() => {
  const live = document.getElementById("live");
  const lost = document.getElementById("lost");
  // A file goes in pieces, and the appliance says where to go on: after a lost connection by itself, after this page was loaded again when
  // the same file is chosen again.
  let uploading = false;
  const upload = async (form) => {
    const file = form.elements.file.files[0];
    const said = form.querySelector("[role=status]");
    const bar = form.querySelector("progress");
    const ask = async (step, fields, body) => {
      const answer = await fetch(`/upload/${step}?${new URLSearchParams(fields)}`, {
        method: "POST", body, headers: { "x-proof": form.elements.proof.value }, credentials: "same-origin", signal: AbortSignal.timeout(120000),
      });
      const told = await answer.json();
      if (!answer.ok) { throw Object.assign(new Error(told.message), { code: told.code }); }
      return told;
    };
    const say = (text) => { if (said.textContent !== text) { said.textContent = text; } };
    bar.hidden = false;
    for (;;) {
      try {
        let at = await ask("begin", { kind: form.elements.kind.value, name: file.name, length: file.size, mark: file.lastModified });
        for (;;) {
          bar.value = Math.floor(at.offset * 100 / at.of);
          // A screen reader would never come to an end with each of them.
          say(form.dataset.going.replace("%1", String(bar.value - bar.value % 5)));
          if (at.offset >= at.of) { break; }
          at = await ask("piece", { id: at.id, offset: at.offset }, file.slice(at.offset, at.offset + 524288));
        }
        await ask("finish", { id: at.id });
        location.reload();
        return;
      } catch (problem) {
        if (problem.code && !["wrong-offset", "no-agent"].includes(problem.code)) { say(problem.message); return; }
        if (!problem.code) { say(form.dataset.waiting); }
        await new Promise((done) => { setTimeout(done, 2000); });
      }
    }
  };
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    if (event.target.dataset.going) {
      event.preventDefault();
      if (!uploading) { uploading = true; upload(event.target).finally(() => { uploading = false; }); }
      return;
    }
    event.target.dataset.sent = "yes";
    setTimeout(() => { delete event.target.dataset.sent; }, 5000);
  });
  if (!live) { return; }
  const every = Number(live.dataset.every) * 1000;
  let working = live.querySelector("[data-working]") !== null;
  let away = false;
  const look = async () => {
    try {
      const answer = await fetch("/live", { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(8000) });
      if ((answer.status === 401 || away) && !uploading) { location.reload(); return; }
      if (!answer.ok) { throw new Error(String(answer.status)); }
      const text = await answer.text();
      // A button that has the focus must not vanish under it.
      if (!live.contains(document.activeElement)) { live.innerHTML = text; }
      const now = live.querySelector("[data-working]") !== null;
      if (working && !now && !uploading) { location.reload(); return; }
      working = now;
      lost.hidden = true;
    } catch {
      away = true;
      lost.hidden = false;
    }
    setTimeout(look, every);
  };
  setTimeout(look, every);
})();
