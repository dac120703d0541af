<?php
// SPDX-License-Identifier: BSD-3-Clause
// php-memcached: PORT ascii|binary [USER PASSWORD].

function check($condition, $what)
{
    global $cache;
    if (!$condition) {
        echo "failed: $what: ", $cache->getResultMessage(), "\n";
        exit(1);
    }
}

function connect()
{
    global $argv;
    $cache = new Memcached();
    $cache->setOption(Memcached::OPT_BINARY_PROTOCOL, $argv[2] === 'binary');
    if (count($argv) > 3) {
        $cache->setSaslAuthData($argv[3], $argv[4]);
    }
    $cache->addServer('127.0.0.1', (int)$argv[1]);
    return $cache;
}

$cache = connect();
$cache->setOption(Memcached::OPT_COMPRESSION, false);

check($cache->flush(), 'flush');
check($cache->set('a', 'one', 60), 'set');
check($cache->get('a') === 'one', 'get');
check($cache->get('nothing') === false, 'miss');
check($cache->getResultCode() === Memcached::RES_NOTFOUND, 'miss code');
check(!$cache->add('a', 'two'), 'add to existing');
$exists = $argv[2] === 'binary' ? Memcached::RES_DATA_EXISTS : Memcached::RES_NOTSTORED;
check($cache->getResultCode() === $exists, 'add code');
check($cache->replace('a', ['x' => [1, 2.5, null]]), 'replace');
check($cache->get('a') === ['x' => [1, 2.5, null]], 'array');
check($cache->set('n', 10), 'number');
check($cache->increment('n', 5) === 15, 'increment');
check($cache->decrement('n', 100) === 0, 'decrement');
check($cache->set('s', 'mid'), 'set s');
check($cache->append('s', 'end') && $cache->prepend('s', 'pre'), 'append');
check($cache->get('s') === 'premidend', 'appended');
check($cache->setMulti(['m1' => 1, 'm2' => 'two']), 'setMulti');
check($cache->getMulti(['m1', 'm2', 'm3']) === ['m1' => 1, 'm2' => 'two'], 'getMulti');
$found = $cache->get('m1', null, Memcached::GET_EXTENDED);
check($found['cas'] > 0, 'cas token');
check($cache->cas($found['cas'], 'm1', 11), 'cas');
check(!$cache->cas($found['cas'], 'm1', 12), 'stale cas');
check($cache->getResultCode() === Memcached::RES_DATA_EXISTS, 'cas code');
check($cache->touch('m1', 100), 'touch');
check($cache->delete('m1'), 'delete');
check(!$cache->delete('m1'), 'delete again');
$large = str_repeat("\0\r\n", 300000);
check($cache->set('large', $large), 'large');
check($cache->get('large') === $large, 'large back');
check(count($cache->getStats()) === 1, 'stats');
check(count($cache->getVersion()) === 1, 'version');
check($cache->getDelayed(['m2', 's'], true), 'getDelayed');
check(count($cache->fetchAll()) === 2, 'fetchAll');

if ($argv[2] === 'binary') { // in text the library refuses such keys itself
    check($cache->set('schlüssel', 'ä'), 'set unicode');
    check($cache->get('schlüssel') === 'ä', 'get unicode');
}
check($cache->set('short', 'x', 1) && $cache->set('long', 'x', 100), 'set short');
usleep(2100000);
check($cache->get('short') === false, 'expired');
check($cache->get('long') === 'x', 'not expired');

$session = connect();
$session->setOption(Memcached::OPT_NO_BLOCK, true);
$session->setOption(Memcached::OPT_LIBKETAMA_COMPATIBLE, true);
for ($i = 0; $i < 500; $i++) {
    $session->set("k$i", "v$i");
}
for ($i = 0; $i < 500; $i++) {
    check($session->get("k$i") === "v$i", "k$i");
}
echo "ok\n";
