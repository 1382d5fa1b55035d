// A session of @binance/spot on the sandbox: only its URLs are given. Prints what it saw as one line of JSON.

import { Spot } from "@binance/spot";
import { Inbox } from "./inbox.mjs";

const SYMBOL = "ETHUSDC";
const where = JSON.parse(process.argv[2]);
const keys = { apiKey: where.api_key, apiSecret: where.secret };
const limitBuy = { symbol: SYMBOL, side: "BUY", type: "LIMIT", timeInForce: "GTC" };
// Standard output is for the report.
console.log = console.info = console.debug = () => {};

const client = new Spot({
  configurationRestAPI: { ...keys, basePath: where.http, timeout: 30_000 },
  configurationWebsocketAPI: { ...keys, wsURL: `${where.ws}/ws-api/v3`, timeout: 30_000 },
  configurationWebsocketStreams: { wsURL: where.ws },
});
const rest = client.restAPI;
const data = async (answer) => (await answer).data();

async function level(diffs, price, isThere) {
  const at = (diff) => diff.b.find(([level, size]) => Number(level) === price && Number(size) > 0 === isThere);
  return at(await diffs.next(at))[1];
}

const info = (await data(rest.exchangeInfo({ symbol: SYMBOL }))).symbols[0];
const filter = (name) => info.filters.find((each) => each.filterType === name);
const [diffs, reports] = [new Inbox(), new Inbox()];
const streams = await client.websocketStreams.connect();
streams.diffBookDepth({ symbol: SYMBOL.toLowerCase(), updateSpeed: "100ms" }).on("message", diffs.put);
const api = await client.websocketAPI.connect();
(await api.userDataStreamSubscribeSignature()).stream.on("message", reports.put);
await diffs.next(() => true);
const book = await data(rest.depth({ symbol: SYMBOL, limit: 1000 }));

const placed = await data(rest.newOrder({ ...limitBuy, quantity: 0.1, price: 2900.17 }));
const appeared = await level(diffs, 2900.17, true);
const replaced = await data(
  rest.orderCancelReplace({
    ...limitBuy,
    quantity: 0.2,
    price: 2900.18,
    cancelReplaceMode: "STOP_ON_FAILURE",
    cancelOrderId: placed.orderId,
  }),
);
const amended = replaced.newOrderResponse.orderId;
await level(diffs, 2900.17, false);
const smaller = await data(rest.orderAmendKeepPriority({ symbol: SYMBOL, newQty: 0.15, orderId: amended }));
const byStream = (await api.orderPlace({ ...limitBuy, quantity: 0.1, price: 2900.19 })).data;
const canceled = [
  (await data(rest.deleteOrder({ symbol: SYMBOL, orderId: amended }))).orderId,
  (await api.orderCancel({ symbol: SYMBOL, orderId: byStream.orderId })).data.orderId,
];
const bought = await data(rest.newOrder({ symbol: SYMBOL, side: "BUY", type: "MARKET", quantity: 0.5 }));
const streamed = [];
for (let status; status !== "FILLED"; ) {
  const event = await reports.next((each) => each.i === bought.orderId && each.x === "TRADE");
  streamed.push(event.t);
  status = event.X;
}
const asked = await data(rest.myTrades({ symbol: SYMBOL }));
let refused;
try {
  await rest.newOrder({ ...limitBuy, side: "SELL", quantity: 2500, price: 3100 });
} catch (error) {
  refused = error.code;
}
const account = await data(rest.getAccount());
const report = {
  tick: filter("PRICE_FILTER").tickSize,
  lot: filter("LOT_SIZE").stepSize,
  book: [book.bids.length, book.asks.length],
  appeared,
  placed: placed.orderId,
  amended,
  reduced_to: smaller.amendedOrder.qty,
  canceled,
  bought: [bought.orderId],
  streamed,
  fills: asked.map((trade) => [trade.id, trade.price, trade.qty, trade.commission, trade.commissionAsset]),
  refused,
  balance: Object.fromEntries(account.balances.map((balance) => [balance.asset, balance.free])),
};
process.stdout.write(`${JSON.stringify(report, (_, value) => (typeof value === "bigint" ? Number(value) : value))}\n`, () => process.exit(0));
