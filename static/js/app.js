/* What pages do beyond HTML. Every page works without this file: it only saves time and says things earlier. */
(() => {
  "use strict";

  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const prepared = new WeakSet();

  /* A form is sent once: its button says that it is under way, and comes back when the page does (Back button). The
     button keeps the focus, hence aria-disabled and not disabled. */
  const SENDING = "data-sending";

  function settle(root = document) {
    for (const button of all(`[${SENDING}]`, root)) {
      button.removeAttribute(SENDING);
      button.removeAttribute("aria-disabled");
    }
    for (const form of all("form[data-sent]", root)) {
      delete form.dataset.sent;
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const button = event.submitter;
    const goesElsewhere = (button && button.formTarget) || form.target;
    if (event.defaultPrevented || form.method !== "post" || goesElsewhere) {
      return;
    }
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    if (button) {
      button.setAttribute(SENDING, "");
      button.setAttribute("aria-disabled", "true");
    }
  });
  window.addEventListener("pageshow", () => settle());

  /* The focus goes to the summary of errors, and from there to the field; else to what a page says of the act before. */
  function focusSummary() {
    const summary = document.querySelector(".error-summary[data-focus]") || document.querySelector("[data-focus]");
    if (summary) {
      summary.focus();
    }
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest(".error-summary a");
    const field = link && document.getElementById(link.hash.slice(1));
    if (field) {
      event.preventDefault();
      field.focus({ preventScroll: true });
      (field.closest(".field") || field).scrollIntoView({ block: "center" });
    }
  });

  /* What was typed here is typed there already: by way of this tab's own memory, since an address is nothing for a URL. */
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-carries]");
    const field = link && document.getElementById(link.dataset.carries);
    if (field && field.value) {
      sessionStorage.setItem(`carried ${link.pathname} ${field.id}`, field.value);
    }
  });

  function takeCarried() {
    for (const field of all("main input[type='email']")) {
      const name = `carried ${location.pathname} ${field.id}`;
      field.value = field.value || sessionStorage.getItem(name) || "";
      sessionStorage.removeItem(name);
    }
  }

  /* Menus are <details>: close the open ones on a click elsewhere and on Escape. */
  document.addEventListener("click", (event) => {
    for (const menu of all("details[data-menu][open]")) {
      if (!menu.contains(event.target)) {
        menu.open = false;
      }
    }
  });
  document.addEventListener("focusin", (event) => {
    for (const menu of all("details[data-menu][open]")) {
      if (!menu.contains(event.target)) {
        menu.open = false;
      }
    }
  });
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Escape") {
        return;
      }
      for (const menu of all("details[data-menu][open]")) {
        if (menu.contains(document.activeElement)) {
          menu.querySelector("summary").focus();
          event.stopPropagation(); // the drawer around it stays open
        }
        menu.open = false;
      }
      for (const moment of all(".moment:hover, tr:has(:focus-visible) .moment")) {
        moment.dataset.dismissed = "yes";
      }
    },
    true,
  );
  /* Up and down go from one entry of an open menu to the next, Home and End to the first and the last. */
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest && event.target.closest("details[data-menu][open]");
    const isTyping = menu && event.target.matches("input") && ["Home", "End"].includes(event.key);
    if (!menu || isTyping || !["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
      return;
    }
    const entries = all(".menu-item", menu).filter((entry) => entry.getClientRects().length);
    const here = entries.indexOf(document.activeElement);
    const next = { ArrowDown: here + 1, ArrowUp: here < 0 ? entries.length - 1 : here - 1, Home: 0, End: -1 }[event.key];
    const entry = entries.at(next === entries.length ? 0 : next);
    if (entry) {
      event.preventDefault();
      entry.focus();
    }
  });

  /* A long menu gets a search; without this file all of it can be scrolled. */
  function prepareFilter(panel) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const none = document.createElement("p");
    label.className = "menu-filter";
    label.append(Object.assign(document.createElement("span"), { textContent: panel.dataset.filter }), input);
    label.firstChild.className = "visually-hidden";
    input.type = "search";
    input.className = "form-control";
    input.placeholder = panel.dataset.filter;
    input.autocomplete = "off";
    none.className = "menu-title";
    none.setAttribute("role", "status");
    panel.prepend(label);
    panel.append(none);
    input.addEventListener("input", () => {
      const typed = input.value.trim().toLocaleLowerCase();
      let found = 0;
      for (const entry of all("li", panel)) {
        entry.hidden = !entry.textContent.toLocaleLowerCase().includes(typed);
        found += entry.hidden ? 0 : 1;
      }
      none.textContent = found ? "" : panel.dataset.none;
    });
    panel.closest("details").addEventListener("toggle", (event) => {
      if (event.target.open) {
        input.focus();
      }
    });
  }

  /* An exact time that was sent away comes back the next time one gets there. */
  for (const name of ["pointerout", "focusout"]) {
    document.addEventListener(name, (event) => {
      const place = event.target.closest && event.target.closest(name === "focusout" ? "tr" : ".moment");
      if (place && !place.contains(event.relatedTarget)) {
        for (const moment of [place, ...all(".moment", place)]) {
          delete moment.dataset.dismissed;
        }
      }
    });
  }

  /* Passwords: show what is typed, and say while typing what is still missing. */
  const ROWS = ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz", "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "qazwsxedcrfvtgbyhnujm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
    "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"];

  function withoutRows(text) {
    let rest = text;
    for (const row of ROWS) {
      for (const line of [row, Array.from(row).reverse().join("")]) {
        for (let size = line.length; size >= 4; size -= 1) {
          for (let start = 0; start + size <= line.length; start += 1) {
            rest = rest.split(line.slice(start, start + size)).join("");
          }
        }
      }
    }
    return rest;
  }

  function isUncommon(password, known) {
    const words = known.filter((word) => word.length >= 3).sort((one, other) => other.length - one.length);
    const strange = words.reduce((rest, word) => rest.split(word).join(""), password.normalize("NFKC").toLowerCase());
    const filler = /pass(word|phrase)?|letmein|welcome|admin|healthivr|[\s._@!-]+|(.)\2{2,}/g;
    const rest = withoutRows(strange).replace(filler, "");
    return rest.length >= 8 && new Set(rest).size >= 5;
  }

  function preparePassword(line) {
    const input = line.querySelector("input");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-quiet btn-small";
    button.textContent = line.dataset.show;
    button.setAttribute("aria-controls", input.id);
    const said = document.createElement("span");
    said.className = "visually-hidden";
    said.setAttribute("aria-live", "polite");
    button.addEventListener("click", () => {
      const show = input.type === "password";
      input.type = show ? "text" : "password";
      button.textContent = show ? line.dataset.hide : line.dataset.show;
      said.textContent = show ? line.dataset.shown : line.dataset.hidden;
    });
    line.append(button, said);
    if (input.form) {
      input.form.addEventListener("submit", () => {
        input.type = "password";
        button.textContent = line.dataset.show;
      });
    }
  }

  function prepareHints(list) {
    const input = document.getElementById(list.dataset.passwordHints);
    if (!input) {
      return;
    }
    const told = "input[autocomplete='given-name'], input[autocomplete='family-name'], input[type='email'], "
      + "input[autocomplete='organization']";
    const known = () =>
      all(told, input.form)
        .flatMap((field) => field.value.toLowerCase().split(/[^\p{L}\p{N}]+/u))
        .concat(list.dataset.words.split(" "));
    const length = (typed) => Math.min(Array.from(typed).length, Array.from(typed.normalize("NFKC")).length);
    const show = () => {
      for (const hint of all("[data-hint]", list)) {
        const met = hint.dataset.hint === "length"
          ? length(input.value) >= Number(hint.dataset.length)
          : isUncommon(input.value, known());
        const state = input.value === "" ? "" : met ? "yes" : "no";
        const words = hint.querySelector("[data-hint-state]");
        hint.dataset.met = state;
        hint.querySelector(".bi").className = `bi bi-${met && state ? "check-circle-fill" : "circle"}`;
        words.textContent = state ? words.dataset[state] : "";
      }
    };
    input.addEventListener("input", show);
    show();
  }

  /* Copy: the button says that it did. */
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) {
      return;
    }
    try {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
    } catch {
      return; // no permission: the text stands beside the button and can be selected
    }
    const words = button.textContent;
    button.textContent = button.dataset.copied;
    button.setAttribute("aria-live", "polite");
    window.setTimeout(() => {
      button.textContent = words;
    }, 2000);
  });

  /* What is shown once: into a file, or onto paper. Nothing leaves the page. */
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-download], [data-print]");
    if (!button) {
      return;
    }
    if (button.hasAttribute("data-print")) {
      window.print();
      return;
    }
    const text = document.querySelector(button.dataset.download).textContent.trim();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain" }));
    link.download = button.dataset.filename;
    link.click();
    URL.revokeObjectURL(link.href);
  });

  /* How many characters are left, said when it begins to matter. */
  function prepareCounter(area) {
    const line = document.createElement("div");
    line.className = "field-help field-count";
    line.setAttribute("aria-live", "polite");
    const most = Number(area.getAttribute("maxlength"));
    const words = area.closest("[data-count]").dataset.count;
    const show = () => {
      const used = Array.from(area.value).length;
      line.textContent = used > most * 0.8 ? words.replace("#used", String(used)).replace("#most", String(most)) : "";
    };
    area.after(line);
    area.addEventListener("input", show);
    show();
  }

  /* A preview is a form sent into a frame. htmx brings a fresh frame each time, so that Back does not walk through old
     previews; then the same form is sent into it. The frame is as high as its mail; until that is there, as the one
     before it was, so that nothing moves. */
  let fitted = "";

  function fitFrame(frame) {
    const mail = frame.contentDocument && frame.contentDocument.body;
    if (mail && mail.childElementCount) {
      new ResizeObserver(() => {
        fitted = `${Math.ceil(mail.getBoundingClientRect().height)}px`;
        frame.style.height = fitted;
      }).observe(mail);
    }
  }

  /* Never once the form itself is sent: a browser drops a form's submission, and with it the invitation, when the same
     form is submitted again before the first has left. */
  function fillFrame(frame) {
    const button = document.querySelector(frame.dataset.filledBy);
    if (button && !button.form.dataset.sent) {
      frame.style.height = fitted;
      frame.addEventListener("load", () => fitFrame(frame));
      button.form.requestSubmit(button);
    }
  }

  /* htmx: say when the network or the server let us down, in place of silence. */
  function complain(kind) {
    const box = document.getElementById("connection");
    if (box) {
      const body = box.querySelector(".notice-body");
      body.textContent = body.dataset[kind];
      box.hidden = false;
    }
    settle();
  }
  document.addEventListener("htmx:sendError", () => complain("offline"));
  document.addEventListener("htmx:timeout", () => complain("offline"));
  document.addEventListener("htmx:responseError", (event) => {
    complain([401, 403].includes(event.detail.xhr.status) ? "signedOut" : "refused");
  });
  document.addEventListener("htmx:afterOnLoad", (event) => {
    const box = document.getElementById("connection");
    if (box && event.detail.successful) {
      box.hidden = true;
    }
  });
  document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));

  /* Several rows at once: the bar says how many are chosen. */
  function prepareBulk(form) {
    const count = document.querySelector("[data-bulk-count]");
    const words = count.textContent;
    const show = () => {
      const boxes = Array.from(form.elements).filter((box) => box.name === "ids" && box.checked);
      const chosen = new Set(boxes.map((box) => box.value)).size;
      const { one, many } = count.dataset;
      count.textContent = chosen === 0 ? words : chosen === 1 ? one : many.replace("#n", String(chosen));
    };
    for (const box of form.elements) {
      box.addEventListener("change", show);
    }
    show();
  }

  const PARTS = [
    ["form[data-bulk]", prepareBulk],
    ["[data-password]", preparePassword],
    ["[data-password-hints]", prepareHints],
    ["[data-count] textarea", prepareCounter],
    ["iframe[data-filled-by]", fillFrame],
    [".menu-panel[data-filter]", prepareFilter],
  ];

  function prepare(root) {
    for (const [selector, act] of PARTS) {
      for (const part of all(selector, root)) {
        if (!prepared.has(part)) {
          prepared.add(part);
          act(part);
        }
      }
    }
  }

  /* The script is deferred: the document is complete. */
  takeCarried();
  prepare(document);
  focusSummary();
})();
