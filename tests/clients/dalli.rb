# SPDX-License-Identifier: BSD-3-Clause
# dalli 3.0: PORT [USER PASSWORD]. Binary protocol only.

require "dalli"

def check(condition, what)
  abort "failed: #{what}" unless condition
end

options = { compress: false, value_max_bytes: 2 * 1024 * 1024 }
options.update(username: ARGV[1], password: ARGV[2]) if ARGV.size > 1
cache = Dalli::Client.new("127.0.0.1:#{ARGV[0]}", options)

check(cache.flush, "flush")
check(cache.set("a", "one"), "set")
check(cache.get("a") == "one", "get")
check(cache.get("nothing").nil?, "miss")
check(!cache.add("a", 1), "add to existing")
check(cache.add("b", { x: [1, 2.5] }), "add")
check(cache.get("b") == { x: [1, 2.5] }, "object")
check(cache.replace("b", 5), "replace")
cache.replace("no", 5) # answers 0, whatever happened
check(cache.get("no").nil?, "replace nothing")
cache.multi { 200.times { |i| cache.set("m#{i}", i) } }
found = cache.get_multi((0..200).map { |i| "m#{i}" })
check(found == (0...200).map { |i| ["m#{i}", i] }.to_h, "get_multi")
value, cas = cache.get_cas("a")
check(value == "one" && cas.positive?, "get_cas")
check(cache.set_cas("a", "two", cas), "set_cas")
check(!cache.set_cas("a", "three", cas), "stale set_cas")
check(cache.cas("a") { |old| "#{old}!" }, "cas")
check(cache.get("a") == "two!", "after cas")
check(cache.incr("n", 5, nil, 10) == 10, "incr creates")
check(cache.incr("n", 5) == 15, "incr")
check(cache.decr("n", 100).zero?, "decr")
cache.set("s", "mid", nil, raw: true)
check(cache.append("s", "end") && cache.prepend("s", "pre"), "append")
check(cache.get("s", raw: true) == "premidend", "appended")
check(cache.touch("s", 100), "touch")
check(cache.gat("s", 100) == "premidend", "gat")
check(cache.set("schlüssel", "ä"), "set unicode")
check(cache.get("schlüssel") == "ä", "get unicode")
large = "\0\r\n" * 300_000
check(cache.set("large", large, nil, raw: true), "large")
check(cache.get("large", raw: true) == large.b, "large back")
check(cache.delete("a"), "delete")
check(!cache.delete("a"), "delete again")
cache.set("short", "x", 1)
cache.set("long", "x", 100)
sleep 2.1
check(cache.get("short").nil?, "expired")
check(cache.get("long") == "x", "not expired")
check(cache.stats.values[0]["pid"], "stats")
check(cache.version.values[0].start_with?("1.6"), "version")
cache.close
puts "ok"
