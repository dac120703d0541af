// SPDX-License-Identifier: BSD-3-Clause
// spymemcached: PORT ascii|binary [USER PASSWORD].

import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.MemcachedClient;
import net.spy.memcached.auth.AuthDescriptor;
import net.spy.memcached.auth.PlainCallbackHandler;

public class Spymemcached {
    static void check(boolean condition, String what) {
        if (!condition) {
            System.out.println("failed: " + what);
            System.exit(1);
        }
    }

    static MemcachedClient connect(String[] args) throws Exception {
        ConnectionFactoryBuilder builder = new ConnectionFactoryBuilder()
            .setOpTimeout(10000)
            .setProtocol(args[1].equals("binary") ? ConnectionFactoryBuilder.Protocol.BINARY
                                                  : ConnectionFactoryBuilder.Protocol.TEXT);
        if (args.length > 2)
            builder.setAuthDescriptor(new AuthDescriptor(
                new String[] {"PLAIN"}, new PlainCallbackHandler(args[2], args[3])));
        return new MemcachedClient(builder.build(), List.of(
            new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0]))));
    }

    public static void main(String[] args) throws Exception {
        MemcachedClient cache = connect(args);
        check(cache.flush().get(), "flush");
        check(cache.set("a", 0, "one").get(), "set");
        check("one".equals(cache.get("a")), "get");
        check(cache.get("nothing") == null, "miss");
        check(!cache.add("a", 0, "two").get(), "add to existing");
        check(cache.replace("a", 0, "two").get(), "replace");
        check(!cache.replace("no", 0, "two").get(), "replace nothing");
        check(cache.append("a", "!").get() && cache.prepend("a", "!").get(), "append");
        check("!two!".equals(cache.get("a")), "appended");
        List<String> keys = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            keys.add("m" + i);
            cache.set("m" + i, 0, i);
        }
        Map<String, Object> found = cache.getBulk(keys);
        check(found.size() == 200 && found.get("m77").equals(77), "getBulk");
        CASValue<Object> cas = cache.gets("a");
        check(cache.cas("a", cas.getCas(), "three") == CASResponse.OK, "cas");
        check(cache.cas("a", cas.getCas(), "four") == CASResponse.EXISTS, "stale cas");
        check(cache.incr("n", 5, 10) == 10, "incr creates");
        check(cache.incr("n", 5) == 15, "incr");
        check(cache.decr("n", 100) == 0, "decr");
        check(cache.touch("a", 100).get(), "touch");
        check(cache.set("schlüssel", 0, "ä").get(), "set unicode");
        check("ä".equals(cache.get("schlüssel")), "get unicode");
        byte[] large = new byte[900000];
        new java.util.Random(1).nextBytes(large); // cannot be packed
        check(cache.set("large", 0, large).get(), "large");
        check(java.util.Arrays.equals(large, (byte[]) cache.get("large")), "large back");
        check(cache.delete("a").get(), "delete");
        check(!cache.delete("a").get(), "delete again");
        check(cache.set("short", 1, "x").get() && cache.set("long", 100, "x").get(), "set short");
        Thread.sleep(2100);
        check(cache.get("short") == null, "expired");
        check("x".equals(cache.get("long")), "not expired");
        check(cache.getStats().values().iterator().next().containsKey("pid"), "stats");
        check(cache.getVersions().size() == 1, "version");
        cache.shutdown();
        System.out.println("ok");
    }
}
