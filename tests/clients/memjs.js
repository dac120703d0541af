// SPDX-License-Identifier: BSD-3-Clause
// memjs: PORT MODULE_FOLDER [USER PASSWORD]. Binary protocol only; it has no cas.

const [port, folder, username, password] = process.argv.slice(2);
const memjs = require(`${folder}/memjs`);

function check(condition, what) {
  if (!condition) {
    console.log(`failed: ${what}`);
    process.exit(1);
  }
}

async function text(client, key) {
  const { value } = await client.get(key);
  return value === null ? null : value.toString();
}

async function main() {
  const client = memjs.Client.create(`127.0.0.1:${port}`, { username, password, timeout: 10 });
  await client.flush();
  check(await client.set('a', 'one', {}), 'set');
  check(await text(client, 'a') === 'one', 'get');
  check(await text(client, 'nothing') === null, 'miss');
  check(!await client.add('a', 'two', {}), 'add to existing');
  check(await client.replace('a', 'two', {}), 'replace');
  check(!await client.replace('no', 'two', {}), 'replace nothing');
  check(await client.append('a', '!'), 'append'); // its prepend() appends, too
  check(await text(client, 'a') === 'two!', 'appended');
  check((await client.increment('n', 5, { initial: 10 })).value === 10, 'increment creates');
  check((await client.increment('n', 5, {})).value === 15, 'increment');
  check((await client.decrement('n', 100, {})).value === 0, 'decrement');
  check(await client.touch('a', 100), 'touch');
  check(await client.set('schlüssel', 'ä', {}), 'set unicode');
  check(await text(client, 'schlüssel') === 'ä', 'get unicode');
  const large = 'x'.repeat(900000);
  check(await client.set('large', large, {}), 'large');
  check(await text(client, 'large') === large, 'large back');
  const many = Array.from({ length: 200 }, (_, i) => `m${i}`);
  await Promise.all(many.map((key) => client.set(key, key, {})));
  const found = await Promise.all(many.map((key) => text(client, key)));
  check(found.every((value, i) => value === many[i]), 'many at once');
  check(await client.delete('a'), 'delete');
  check(!await client.delete('a'), 'delete again');
  await client.set('short', 'x', { expires: 1 });
  await client.set('long', 'x', { expires: 100 });
  await new Promise((resolve) => setTimeout(resolve, 2100));
  check(await text(client, 'short') === null, 'expired');
  check(await text(client, 'long') === 'x', 'not expired');
  const stats = await new Promise((resolve) => client.stats((_, __, rows) => resolve(rows)));
  check(Number(stats.pid) > 0, 'stats');
  client.close();
  console.log('ok');
}

main().catch((error) => check(false, error));
