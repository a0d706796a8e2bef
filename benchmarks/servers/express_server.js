// express-session, in memory and on MongoDB (connect-mongo with touchAfter), with what both recommend:
// resave and saveUninitialized off.
"use strict";

const { parseArgs } = require("node:util");
const express = require("express");
const session = require("express-session");

const { values: given } = parseArgs({
  options: { port: { type: "string" }, store: { type: "string", default: "memory" }, url: { type: "string", default: "" } },
});

function makeStore() {
  if (given.store === "memory") return new session.MemoryStore();
  const exported = require("connect-mongo");
  const MongoStore = exported.MongoStore ?? exported.default ?? exported;
  return MongoStore.create({
    mongoUrl: given.url,
    dbName: "benchmark",
    collectionName: "express_session",
    ttl: 1200,
    touchAfter: 3600,
  });
}

const application = express();
application.get("/bare", (request, response) => response.type("text").send("0"));
application.use(
  session({
    secret: "of the benchmark only",
    resave: false,
    saveUninitialized: false,
    store: makeStore(),
  }),
);
application.get("/start", (request, response) => {
  Object.assign(request.session, JSON.parse(process.env.BENCHMARK_SESSION));
  response.type("text").send("0");
});
application.get("/none", (request, response) => response.type("text").send("0"));
application.get("/read", (request, response) => response.type("text").send(String(request.session.visits)));
application.get("/written", (request, response) => {
  request.session.visits += 1;
  response.type("text").send(String(request.session.visits));
});
application.listen(Number(given.port), "127.0.0.1");
