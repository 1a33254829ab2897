// What the pages do beyond links and forms. Everything works without it; this makes it quicker.
"use strict";

// What somebody is typing is theirs: a form that was touched stays as it is when the page is brought up to date.
document.addEventListener("input", ({ target }) => target.form?.closest("main form")?.setAttribute("hx-morph-skip", ""));
document.addEventListener("reset", ({ target }) => target.removeAttribute("hx-morph-skip"));

// A choice that is its own question.
document.addEventListener("change", ({ target }) => {
  if (target.matches?.("[data-submits]")) target.form.requestSubmit();
});

// Asks before what cannot be undone by a click.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (question && !window.confirm(question)) event.preventDefault();
});

document.addEventListener("click", ({ target }) => {
  const menu = document.querySelector("details.menu[open]");
  if (menu && !menu.contains(target)) menu.open = false;
  const copied = target.closest?.("[data-copy]");
  if (copied) navigator.clipboard?.writeText(copied.dataset.copy).then(() => (copied.textContent = "Copied"));
});

// The palette: goes to any flag, service or action.
(() => {
  const MOST = 40;
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const query = document.getElementById("palette-query");
  const list = document.getElementById("palette-found");
  let places = null;
  let shown = [];
  let chosen = 0;
  let hurried = false; // Enter was pressed before there was anything to choose from

  const load = async () => {
    const answer = await fetch("/ui/index.json", { headers: { "X-Downhaul-Background": "1" } });
    if (!answer.ok) return;
    const index = await answer.json();
    const environment = document.querySelector("#environment-choice")?.value ?? "";
    const flags = index.flags.map(([service, flag]) => [`${service}/${flag}`, "flag", `/services/${service}/flags/${flag}`]);
    const services = index.services.map((service) => [service, "service", `/services/${service}`]);
    places = [...index.actions.map(([text, path]) => [text, "action", path]), ...services, ...flags].map((place) => ({
      text: place[0], kind: place[1], path: place[2], folded: place[0].toLowerCase(), environment,
    }));
    find();
    if (hurried) go(shown[0]);
  };

  const find = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (places ?? []).filter(({ folded }) => words.every((word) => folded.includes(word)));
    const rank = ({ folded }) => (words.length && folded.split("/").some((part) => part.startsWith(words[0])) ? 0 : 1);
    shown = (words.length ? fits.sort((one, other) => rank(one) - rank(other)) : fits).slice(0, MOST);
    chosen = 0;
    draw();
  };

  const draw = () => {
    list.replaceChildren(...shown.map((place, number) => {
      const item = document.createElement("li");
      item.id = `palette-${number}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(number === chosen));
      const text = document.createElement("span");
      text.textContent = place.text;
      const kind = document.createElement("span");
      kind.textContent = place.kind;
      item.append(text, kind);
      item.addEventListener("click", () => go(place));
      return item;
    }));
    if (shown.length) query.setAttribute("aria-activedescendant", `palette-${chosen}`);
    else query.removeAttribute("aria-activedescendant");
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
  };

  const go = (place) => { if (place) window.location.assign(place.path); };

  const open = (text = "") => {
    if (dialog.open) return;
    dialog.showModal();
    hurried = false;
    query.value = text;
    find();
    load();
  };

  query.addEventListener("input", find);
  query.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      chosen = (chosen + step + shown.length) % shown.length;
      draw();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (places) go(shown[chosen]);
      else hurried = true;
    }
  });
  dialog.addEventListener("click", ({ target }) => { if (target === dialog) dialog.close(); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input, textarea, select, [contenteditable]");
    if ((event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) || (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      open();
    }
  });
})();
