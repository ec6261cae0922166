// The server API through types that openapi-typescript makes of its document: every operation once.
// argv: the address of the ops listener, its key, the file of the document.
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { paths } from "./schema.d.ts";

const [baseUrl, key, file] = process.argv.slice(2) as [string, string, string];
const called = new Set<string>();
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });
client.use({ onRequest: ({ request, schemaPath }) => void called.add(`${request.method} ${schemaPath}`) });

async function done<T extends { response: Response; error?: unknown }>(call: Promise<T>): Promise<T> {
  const answer = await call;
  if (!answer.response.ok) throw new Error(`${answer.response.url}: ${JSON.stringify(answer.error)}`);
  return answer;
}

const frank = { account: "frank" };
const of = (peer: string) => ({ params: { path: { ...frank, peer } } });
const frankly = { params: { path: frank } };
const text = { parseAs: "text" } as const;

await done(client.GET("/livez", text));
await done(client.GET("/readyz", text));
await done(client.GET("/metrics", text));
await done(client.GET("/v1/openapi.json"));
const { data: me } = await done(client.GET("/v1/me"));
if (me?.name !== "default") throw new Error(JSON.stringify(me));
await done(client.GET("/v1/audit", { params: { query: { limit: 10, subject: "frank" } } }));
await done(client.PUT("/v1/users/{account}", { ...frankly, body: { nick: "Frank", gender: "male" } }));
await done(client.PATCH("/v1/users/{account}", { ...frankly, body: { sign: "hi", ifVersion: null } }));
const { data: user } = await done(client.GET("/v1/users/{account}", frankly));
if (user?.sign !== "hi") throw new Error(JSON.stringify(user));
await done(client.GET("/v1/users/{account}/changes", { params: { path: frank, query: { limit: 10 } } }));
await done(client.POST("/v1/users:batchGet", { body: { accounts: ["frank", "nobody"] } }));
await done(client.POST("/v1/users:batchUpdate", { body: { users: [{ account: "grace", create: true }] } }));
const line = JSON.stringify({ friendship: ["frank", "grace"] });
await done(client.POST("/v1/import", { body: line, bodySerializer: (body) => body as string }));
const { data: page } = await done(
  client.GET("/v1/users/{account}/friends", { params: { path: frank, query: { limit: 10 } } }),
);
if (page?.friends[0]?.account !== "grace") throw new Error(JSON.stringify(page));
await done(client.PATCH("/v1/users/{account}/friends/{peer}", { ...of("grace"), body: { alias: "G" } }));
await done(client.DELETE("/v1/users/{account}/friends/{peer}", of("grace")));
await done(client.PUT("/v1/users/{account}/friends/{peer}", of("bob")));
const ask = () => done(client.PUT("/v1/users/{account}/requests/{peer}", { ...of("alice"), body: { message: "hi" } }));
const asked = { params: { path: { account: "alice", peer: "frank" } } };
await ask();
await done(client.GET("/v1/users/{account}/requests", frankly));
await done(client.POST("/v1/users/{account}/requests/{peer}/reject", asked));
await ask();
await done(client.DELETE("/v1/users/{account}/requests/{peer}", of("alice")));
await ask();
await done(client.POST("/v1/users/{account}/requests/{peer}/accept", asked));
await done(client.PUT("/v1/users/{account}/blocks/{peer}", of("carol")));
await done(client.GET("/v1/users/{account}/blocks", frankly));
await done(client.DELETE("/v1/users/{account}/blocks/{peer}", of("carol")));
await done(client.PUT("/v1/users/{account}/muted/{peer}", of("carol")));
await done(client.DELETE("/v1/users/{account}/muted/{peer}", of("carol")));
await done(client.PUT("/v1/users/{account}/token", { ...frankly, body: {} }));
await done(client.DELETE("/v1/users/{account}/token", frankly));
await done(client.POST("/v1/users/{account}/tokens:revoke", { ...frankly, body: { issuedBefore: 1 } }));
await done(client.GET("/v1/users/{account}/sessions", frankly));
await done(client.GET("/v1/sessions", { params: { query: { limit: 10 } } }));
// Nobody is connected.
const ended = await client.GET("/v1/sessions/{session}", { params: { path: { session: "0000000000000001" } } });
if (ended.response.status !== 404) throw new Error(JSON.stringify(ended));
const session = { params: { path: { ...frank, session: "0000000000000001" } } };
await done(client.DELETE("/v1/users/{account}/sessions/{session}", session));
await done(client.DELETE("/v1/users/{account}/sessions", frankly));
await done(client.PUT("/v1/users/{account}/presence", { ...frankly, body: { invisible: true, status: "away" } }));
await done(client.GET("/v1/users/{account}/presence", frankly));
await done(client.POST("/v1/users/{account}/hints", { ...frankly, body: { accounts: ["bob"] } }));
await done(client.POST("/v1/users/{account}/signals", { ...frankly, body: { to: "bob", payload: "x" } }));
const viewed = { params: { path: frank, query: { viewer: "bob" } } };
await done(client.GET("/v1/accounts/{account}/explain", viewed));
await done(client.GET("/v1/users/{account}/export", frankly));
await done(client.GET("/v1/users", { params: { query: { prefix: "f", limit: 10 } } }));
await done(client.DELETE("/v1/users/{account}", frankly));
const crm = { params: { path: { name: "crm" } } };
await done(client.GET("/v1/live"));
await done(client.GET("/v1/nodes"));
await done(client.GET("/v1/schema"));
await done(client.POST("/v1/schema/{field}/purge", { params: { path: { field: "shoe_size" } } }));
await done(client.GET("/v1/settings"));
await done(client.GET("/v1/hooks"));
await done(client.GET("/v1/webhooks"));
await done(client.POST("/v1/webhooks/{name}/pause", crm));
await done(client.POST("/v1/webhooks/{name}/resume", crm));
await done(client.POST("/v1/webhooks/{name}/test", crm));
await done(client.POST("/v1/webhooks/{name}/replay", { ...crm, body: { dead: true } }));
await done(client.GET("/v1/webhooks/{name}", crm));
await done(client.GET("/v1/webhooks/{name}/dead", { params: { path: { name: "crm" }, query: { limit: 10 } } }));
const refused = { params: { path: { name: "crm", event: "000000000000000a-1-0" } } };
await done(client.DELETE("/v1/webhooks/{name}/dead/{event}", refused));
await done(client.GET("/v1/snapshot", { ...text, params: { query: { fields: "nick" } } }));
await done(client.GET("/v1/feed", { ...text, params: { query: { after: "now", limit: 10 } } }));

const document = JSON.parse(readFileSync(file, "utf8")) as { paths: Record<string, Record<string, unknown>> };
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
);
const missing = operations.filter((operation) => !called.has(operation));
if (missing.length > 0) throw new Error(`not called: ${missing.join(", ")}`);
console.log(`  generated: the TypeScript client calls ${called.size} operations`);
