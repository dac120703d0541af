# SPDX-License-Identifier: BSD-3-Clause
# dalli as a tenant who is confined to app1: PORT USER PASSWORD.

require "dalli"

def check(condition, what)
  abort "failed: #{what}" unless condition
end

def refused(what)
  check(!yield, what)
rescue Dalli::DalliError => e
  puts "#{what}: #{e.message}"
end

options = { username: ARGV[1], password: ARGV[2] }
cache = Dalli::Client.new("127.0.0.1:#{ARGV[0]}", options.merge(namespace: "app1"))
check(cache.set("a", "mine"), "set")
check(cache.get("a") == "mine", "get")
other = Dalli::Client.new("127.0.0.1:#{ARGV[0]}", options)
refused("set of another") { other.set("app2:a", "theirs") }
refused("get of another") { other.get("app2:a") }
refused("delete of another") { other.delete("app2:a") }
check(other.get("app1:a") == "mine", "get again")
puts "ok"
