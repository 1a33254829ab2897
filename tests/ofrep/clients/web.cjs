// The provider for browsers, in Node: prints a line for each event, and obeys lines of stdin. `node web.cjs URL KEY`
// (`require`, because the provider looks for a global EventSource while it is loaded.)
const { EventSource } = require("eventsource");
globalThis.EventSource = EventSource;
const { OpenFeature, ProviderEvents } = require("@openfeature/web-sdk");
const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");

const [baseUrl, key] = process.argv.slice(2);
const statuses = [];
const counting = async (...request) => {
  const answer = await fetch(...request);
  statuses.push(answer.status);
  return answer;
};

function tell(event, more = {}) {
  console.log(JSON.stringify({ event, statuses, ...more }));
}

async function main() {
  const headers = [["X-API-Key", key]];
  const provider = new OFREPWebProvider({ baseUrl, headers, cacheMode: "disabled", fetchImplementation: counting });
  const client = OpenFeature.getClient();
  for (const name of ["ConfigurationChanged", "Stale", "Error"]) {
    client.addHandler(ProviderEvents[name], (details) => tell(name, { flagsChanged: details?.flagsChanged }));
  }
  await OpenFeature.setContext({ targetingKey: "ada" });
  await OpenFeature.setProviderAndWait(provider);
  tell("Ready", { flags: provider.flagCache });
  for await (const line of require("node:readline").createInterface({ input: process.stdin })) {
    const { context, type, flag, otherwise } = JSON.parse(line);
    if (context) {
      await OpenFeature.setContext(context);
      tell("Context", { flags: provider.flagCache });
    } else {
      tell("Details", { details: client[`get${type}Details`](flag, otherwise) });
    }
  }
  await OpenFeature.close();
}

main();
