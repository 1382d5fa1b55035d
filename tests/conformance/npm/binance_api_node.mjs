// A session of binance-api-node on the sandbox: only its URLs are given. Prints what it saw as one line of JSON.

import module_ from "binance-api-node";
import { Inbox } from "./inbox.mjs";

const SYMBOL = "ETHUSDC";
const where = JSON.parse(process.argv[2]);
const limitBuy = { symbol: SYMBOL, side: "BUY", type: "LIMIT" };
const client = (module_.default ?? module_)({
  apiKey: where.api_key,
  apiSecret: where.secret,
  httpBase: where.http,
  wsBase: `${where.ws}/ws`,
  wsApi: `${where.ws}/ws-api/v3`,
});

async function level(diffs, price, isThere) {
  const at = (diff) =>
    diff.bidDepth.find(({ price: level, quantity }) => Number(level) === price && Number(quantity) > 0 === isThere);
  return at(await diffs.next(at)).quantity;
}

const info = (await client.exchangeInfo({ symbol: SYMBOL })).symbols[0];
const filter = (name) => info.filters.find((each) => each.filterType === name);
const [diffs, reports] = [new Inbox(), new Inbox()];
client.ws.depth(`${SYMBOL}@100ms`, diffs.put);
await client.ws.user(reports.put);
await diffs.next(() => true);
const book = await client.book({ symbol: SYMBOL });

const placed = await client.order({ ...limitBuy, quantity: "0.1", price: "2900.17" });
const appeared = await level(diffs, 2900.17, true);
// It can neither amend nor replace: it cancels and places anew.
const first = await client.cancelOrder({ symbol: SYMBOL, orderId: placed.orderId });
await level(diffs, 2900.17, false);
const again = await client.order({ ...limitBuy, quantity: "0.2", price: "2900.18" });
const other = await client.order({ ...limitBuy, quantity: "0.1", price: "2900.19" });
const canceled = [
  (await client.cancelOrder({ symbol: SYMBOL, orderId: again.orderId })).orderId,
  (await client.cancelOpenOrders({ symbol: SYMBOL }))[0].orderId,
];
const bought = await client.order({ symbol: SYMBOL, side: "BUY", type: "MARKET", quantity: "0.5" });
const streamed = [];
for (let status; status !== "FILLED"; ) {
  const event = await reports.next((each) => each.orderId === bought.orderId && each.executionType === "TRADE");
  streamed.push(event.tradeId);
  status = event.orderStatus;
}
const asked = await client.myTrades({ symbol: SYMBOL });
let refused;
try {
  await client.order({ ...limitBuy, side: "SELL", quantity: "2500", price: "3100" });
} catch (error) {
  refused = error.code;
}
const account = await client.accountInfo();
const report = {
  tick: filter("PRICE_FILTER").tickSize,
  lot: filter("LOT_SIZE").stepSize,
  book: [book.bids.length, book.asks.length],
  appeared,
  placed: first.orderId,
  amended: again.orderId,
  canceled,
  bought: [bought.orderId],
  streamed,
  fills: asked.map((trade) => [trade.id, trade.price, trade.qty, trade.commission, trade.commissionAsset]),
  refused,
  balance: Object.fromEntries(account.balances.map((balance) => [balance.asset, balance.free])),
};
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
