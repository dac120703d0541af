# SPDX-License-Identifier: BSD-3-Clause
# dalli 3 with its meta protocol.
require 'dalli'

def check(what, condition)
  return if condition

  puts "failed: #{what}"
  exit 1
end

client = Dalli::Client.new("127.0.0.1:#{ARGV[0]}", protocol: :meta, socket_timeout: 10)
check 'flush', client.flush
check 'set', client.set('a', 'one')
check 'get', client.get('a') == 'one'
check 'miss', client.get('nothing').nil?
check 'add', !client.add('a', 'two')
check 'add new', client.add('b', { 'x' => [1, 2.5, nil] })
check 'object', client.get('b') == { 'x' => [1, 2.5, nil] }
check 'replace', client.replace('a', 'three')
check 'replace missing', !client.replace('no', 'x')
check 'key with blanks', client.set("a key\nof ä", 'v') && client.get("a key\nof ä") == 'v'
check 'ttl', client.set('t', 'v', 100) && client.touch('t', 200)
check 'gat', client.gat('t', 300) == 'v'
check 'incr', client.incr('n', 5, 60, 10) == 10
check 'incr again', client.incr('n', 5) == 15
check 'decr', client.decr('n', 100).zero?
check 'incr missing', client.incr('no').nil?
client.set('s', 'mid', 0, raw: true)
client.append('s', 'end')
client.prepend('s', 'pre')
check 'append', client.get('s', raw: true) == 'premidend'
client.set_multi({ 'm1' => 1, 'm2' => 'two' }) if client.respond_to?(:set_multi)
client.set('m1', 1)
client.set('m2', 'two')
check 'multi', client.get_multi('m1', 'm2', 'm3') == { 'm1' => 1, 'm2' => 'two' }
check 'cas', client.cas('m1') { |value| value + 1 }
check 'after cas', client.get('m1') == 2
value, token = client.get_cas('m1')
check 'get_cas', value == 2 && token.positive?
check 'set_cas', client.set_cas('m1', 3, token)
check 'stale set_cas', !client.set_cas('m1', 4, token)
check 'fetch', client.fetch('f') { 'made' } == 'made' && client.get('f') == 'made'
check 'delete', client.delete('m1') && !client.delete('m1')
large = "\0\r\n" * 300_000
client.set('large', large, 0, compress: false)
check 'large', client.get('large') == large
client.quiet { 200.times { |i| client.set("q#{i}", i) } }
check 'quiet', client.get_multi(*(0...200).map { |i| "q#{i}" }).size == 200
check 'stats', client.stats.values.first['pointer_size'] == '64'
check 'version', client.version.values.first.start_with?('1.6.')
client.close
puts 'ok'
