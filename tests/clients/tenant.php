<?php
// SPDX-License-Identifier: BSD-3-Clause
// php-memcached as a tenant who is confined to app1: PORT USER PASSWORD.

function check($condition, $what)
{
    if (!$condition) {
        echo "failed: $what\n";
        exit(1);
    }
}

$cache = new Memcached();
$cache->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
$cache->setSaslAuthData($argv[2], $argv[3]);
$cache->addServer('127.0.0.1', (int)$argv[1]);
check($cache->set('app1:a', 'mine'), 'set');
check($cache->get('app1:a') === 'mine', 'get');
check(!$cache->set('app2:a', 'theirs'), 'set of another');
check($cache->get('app2:a') === false, 'get of another');
check(!$cache->delete('app2:a'), 'delete of another');
$cache->flush(); // the library does not tell of the refusal
check($cache->get('app1:a') === 'mine', 'get again');
$cache->setOption(Memcached::OPT_PREFIX_KEY, 'app1:');
check($cache->set('b', 'mine') && $cache->get('b') === 'mine', 'prefix of the library');
echo "ok\n";
