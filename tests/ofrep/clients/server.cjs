// The provider for servers: evaluates what stdin lists, and prints the details. `node server.cjs URL KEY`
const { OpenFeature } = require("@openfeature/server-sdk");
const { OFREPProvider } = require("@openfeature/ofrep-provider");

async function main([baseUrl, key]) {
  const headers = [["Authorization", `Bearer ${key}`]];
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
  const client = OpenFeature.getClient();
  const asked = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
  const details = [];
  for (const { type, flag, otherwise, context } of asked) {
    details.push(await client[`get${type}Details`](flag, otherwise, context));
  }
  console.log(JSON.stringify(details));
  await OpenFeature.close();
}

main(process.argv.slice(2));
