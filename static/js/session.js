/* Warns two minutes before a session ends, and keeps what was typed when it has ended. The server alone decides: this only
   asks it, and asking keeps nothing alive. */
(() => {
  "use strict";

  const dialog = document.getElementById("session");
  if (!dialog || typeof dialog.showModal !== "function") {
    return;
  }
  const part = (name) => dialog.querySelector(`[data-session="${name}"]`);
  const WARNING = 120;
  // An idle time made shorter, a session ended elsewhere, another window signed in: nobody tells a page but the server.
  const ASK_EVERY = 60;
  const ASK_EVERY_OPEN = 5;
  const SOON_AFTER = 600; // so long an ended session is asked for often; then whoever left has left
  const title = document.title;
  let endsAt = Date.now() + Number(dialog.dataset.seconds) * 1000;
  let askedAt = Date.now();
  let overAt = 0;
  let timer = 0;

  const left = () => Math.round((endsAt - Date.now()) / 1000);

  function later(seconds) {
    clearTimeout(timer);
    timer = setTimeout(look, Math.max(1, seconds) * 1000, false);
  }

  /* What the server says now: another tab may have been used, or signed in by somebody else. */
  async function ask(method = "GET") {
    askedAt = Date.now();
    const token = document.querySelector("input[name='csrfmiddlewaretoken']");
    const response = await fetch(dialog.dataset.address, {
      method,
      headers: { "HX-Request": "true", "X-CSRFToken": token ? token.value : "" },
      redirect: "manual",
    });
    if (!response.ok) {
      return null;
    }
    const said = await response.json();
    if (said.person !== dialog.dataset.person) {
      location.reload(); // somebody else's page now
      return null;
    }
    for (const input of document.querySelectorAll("input[name='csrfmiddlewaretoken']")) {
      input.value = said.csrf_token;
    }
    endsAt = Date.now() + said.seconds * 1000;
    return said;
  }

  function over() {
    overAt ||= Date.now();
    show("over");
    later(Date.now() - overAt < SOON_AFTER * 1000 ? ASK_EVERY_OPEN : ASK_EVERY);
  }

  function show(name) {
    part("warning").hidden = name !== "warning";
    part("over").hidden = name !== "over";
    dialog.classList.toggle("session-over", name === "over");
    if (!dialog.open) {
      dialog.showModal();
    }
  }

  function close() {
    overAt = 0;
    document.title = title;
    if (dialog.open) {
      dialog.close();
    }
  }

  function words(seconds) {
    const minutes = Math.floor(seconds / 60);
    return `${minutes}:${String(seconds % 60).padStart(2, "0")}`;
  }

  function goOn() {
    close();
    later(Math.min(left() - WARNING, ASK_EVERY));
  }

  function mustAsk() {
    const asked = (Date.now() - askedAt) / 1000;
    return left() <= 0 || (left() <= WARNING && !dialog.open) || asked >= (dialog.open ? ASK_EVERY_OPEN : ASK_EVERY);
  }

  async function look(atOnce) {
    if (atOnce || overAt || mustAsk()) {
      try {
        if (!(await ask())) {
          over();
          return;
        }
      } catch {
        later(5); // no network: ask again
        return;
      }
    }
    if (left() > WARNING) {
      goOn();
      return;
    }
    overAt = 0;
    show("warning");
    part("left").textContent = words(Math.max(0, left()));
    document.title = `${words(Math.max(0, left()))} · ${title}`;
    later(1);
  }

  async function stay() {
    try {
      if (await ask("POST")) {
        goOn();
        return;
      }
      over();
    } catch {
      later(5);
    }
  }

  function comeBack() {
    if (document.visibilityState === "visible" && dialog.open) {
      look(true);
    }
  }

  part("stay").addEventListener("click", stay);
  // Escape is an answer too: somebody is there. Once it is over nothing but signing in helps.
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    if (!part("warning").hidden) {
      stay();
    }
  });
  document.addEventListener("visibilitychange", comeBack);
  window.addEventListener("focus", comeBack);
  // A page out of the browser's memory is as old as it was left: ask before anything of it is used.
  window.addEventListener("pageshow", (event) => event.persisted && look(true));
  later(Math.min(left() - WARNING, ASK_EVERY));
})();
