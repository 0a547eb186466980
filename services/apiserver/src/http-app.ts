/**
 * The fastify application. It listens nowhere: its handler is captured, so that any listener can stand in front (HTTP/1.1, HTTP/2, a front door that
 * serves other things as well). There is one wildcard route; bodies stay unread until the request chain wants them.
 */
import { createServer, type RequestListener } from "node:http";
import fastify from "fastify";
import type { HttpHandler } from "@wherry/service-kit";
import type { Exchange } from "./exchange.ts";
import { createHttpExchange, createUpgradeExchange } from "./http-exchange.ts";

export interface HttpApp {
  readonly handler: HttpHandler;
  close(): Promise<void>;
}

export async function createHttpApp(
  handle: (exchange: Exchange) => Promise<void>,
): Promise<HttpApp> {
  let listener: RequestListener | undefined;
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 16_384, ignoreTrailingSlash: false },
    serverFactory: (captured) => {
      listener = captured;
      return createServer();
    },
    // What the router cannot read (a broken percent sign) is for the chain to refuse, with its own words.
    frameworkErrors: (_error, request, reply) => {
      reply.hijack();
      void handle(createHttpExchange(request.raw, reply.raw));
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  app.all("*", (request, reply) => {
    reply.hijack();
    void handle(createHttpExchange(request.raw, reply.raw));
  });
  // Content types that fastify does not understand are for the chain to refuse: nothing of the body has been read.
  app.setErrorHandler((_error, request, reply) => {
    reply.hijack();
    void handle(createHttpExchange(request.raw, reply.raw));
  });
  app.setNotFoundHandler((request, reply) => {
    reply.hijack();
    void handle(createHttpExchange(request.raw, reply.raw));
  });
  await app.ready();
  return {
    handler: {
      handle: (request, response) => listener!(request as never, response as never),
      upgrade: (request, socket, head) => void handle(createUpgradeExchange(request, socket, head)),
    },
    close: () => app.close(),
  };
}
