"use strict";
// What pages do more with a script: what is being done now is asked for again and again, also through a restart of the appliance; and a
// form is sent once, however often its button is pressed.
(() => {
  const live = document.getElementById("live");
  const lost = document.getElementById("lost");
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) { event.preventDefault(); return; }
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
      if (answer.status === 401 || away) { location.reload(); return; }
      if (!answer.ok) { throw new Error(String(answer.status)); }
      const text = await answer.text();
      // A button that has the focus must not vanish under it.
      if (!live.contains(document.activeElement)) { live.innerHTML = text; }
      const now = live.querySelector("[data-working]") !== null;
      if (working && !now) { location.reload(); return; }
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
