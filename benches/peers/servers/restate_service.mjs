// Restate: a handler that does nothing, and one of ten durable steps.
//
//     restate_service.mjs PORT PAGE_PORT ADMIN_URL
//
// Restate's server calls it on PORT. `/open` on PAGE_PORT is how many invocations that server has which have not ended.
import http from "node:http";
import http2 from "node:http2";

// Which Node 20 has not.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
};
const restate = await import("@restatedev/restate-sdk");

const [port, pagePort] = process.argv.slice(2, 4).map(Number);
const admin = process.argv[4];

const bench = restate.service({
  name: "bench",
  handlers: {
    nothing: async (_context, number) => number,
    ten: async (context, _number) => {
      let sum = 0;
      for (let step = 0; step < 10; step++) sum += await context.run(`step-${step}`, () => step);
      return sum;
    },
  },
});
const handler = restate.createEndpointHandler({ services: [bench], bidirectional: true });
http2.createServer(handler).listen(port, "127.0.0.1");

const query = "SELECT count(*) AS open FROM sys_invocation WHERE status <> 'completed'";
http.createServer(async (_request, response) => {
  const headers = { "content-type": "application/json", accept: "application/json" };
  try {
    const answer = await fetch(`${admin}/query`, { method: "POST", headers, body: JSON.stringify({ query }) });
    response.end(`open ${(await answer.json()).rows[0].open}`);
  } catch (error) {
    // It is still starting.
    response.writeHead(503).end(`${error}`);
  }
}).listen(pagePort, "127.0.0.1");
