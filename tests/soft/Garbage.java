import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

/** N threads that fill a small heap, share a map, run into null pointers and the end of the stack. Runs ROUNDS times. */
public class Garbage {
    static final ConcurrentHashMap<Integer, Long> map = new ConcurrentHashMap<>();
    static final AtomicLong count = new AtomicLong();

    static long work(int id) {
        Random random = new Random(id);
        List<byte[]> keep = new ArrayList<>();
        long sum = 0;
        for (int i = 0; i < 50000; i++) {
            byte[] b = new byte[random.nextInt(2000)];
            if (i % 50 == 0) keep.add(b);
            if (keep.size() > 500) keep = new ArrayList<>(keep.subList(250, 500));
            map.merge(i % 1000, 1L, Long::sum);
            count.incrementAndGet();
            sum += b.length;
            if (i % 10000 == 0) try {
                Object none = null;
                none.hashCode();
            } catch (NullPointerException e) {
                sum++;
            }
        }
        return sum;
    }

    static int deep(int n) { return 1 + deep(n + 1); }

    static void round(int threads) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        List<Future<Long>> results = new ArrayList<>();
        for (int t = 0; t < threads; t++) {
            int id = t;
            results.add(pool.submit(() -> work(id)));
        }
        long sum = 0, shared = 0;
        for (Future<Long> r : results) sum += r.get();
        pool.shutdown();
        for (long v : map.values()) shared += v;
        try {
            deep(0);
        } catch (StackOverflowError e) {
            sum++;
        }
        System.out.println("sum " + sum + " count " + count.getAndSet(0) + " shared " + shared);
        map.clear();
    }

    public static void main(String[] args) throws Exception {
        long end = args.length > 1 ? Long.parseLong(args[1]) : 0;
        do round(Integer.parseInt(args[0]));
        while (System.currentTimeMillis() / 1000 < end);
    }
}
