// Asks for the page again every second, and keeps a list of the processes that have answered.
const EVERY_MS = 1000;
const FORGET_MS = 15000;
const seen = new Map();

function note(answer) {
  const { pid, revision, shows } = answer.dataset;
  seen.set(pid, { revision, shows, at: Date.now() });
  for (const [key, last] of seen) if (Date.now() - last.at > FORGET_MS) seen.delete(key);
  const items = [...seen].sort().map(([key, last]) => {
    const item = document.createElement("li");
    item.textContent = `process ${key}: ${last.shows}, revision ${last.revision}`;
    return item;
  });
  document.getElementById("processes").replaceChildren(...items);
}

async function refresh() {
  try {
    const text = await (await fetch(location.href, { cache: "no-store" })).text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
    if (fresh) document.getElementById("live").replaceWith(fresh);
    note(document.getElementById("answer"));
  } catch {
    // The service is restarting: the page stays as it is, and asks again.
  }
  setTimeout(refresh, EVERY_MS);
}

note(document.getElementById("answer"));
setTimeout(refresh, EVERY_MS);
