package intentflow.peer;

import java.util.List;
import java.util.Map;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.internals.WrappedStateStore;

/**
 * A store that lets its processor work off what it holds back before the task commits.
 *
 * <p>A task takes part in a commit with every record that was handed to its processors. One that waits in a buffer would
 * be committed without having been scored, and a crash would lose it. The public API has no call before a commit:
 * StateStore.flush comes after it. What does come before is flushCache of stores with a cache, which is internal to
 * Kafka Streams, and which this store answers.
 */
final class DrainingStore extends WrappedStateStore<KeyValueStore<byte[], byte[]>, byte[], byte[]>
    implements KeyValueStore<byte[], byte[]> {
  private Runnable drain = () -> {};

  private DrainingStore(KeyValueStore<byte[], byte[]> inner) {
    super(inner);
  }

  /** What is to be done before each commit. */
  void beforeCommit(Runnable drain) {
    this.drain = drain;
  }

  @Override
  public void flushCache() {
    drain.run();
    super.flushCache();
  }

  @Override
  public byte[] get(byte[] key) {
    return wrapped().get(key);
  }

  @Override
  public void put(byte[] key, byte[] value) {
    wrapped().put(key, value);
  }

  @Override
  public byte[] putIfAbsent(byte[] key, byte[] value) {
    return wrapped().putIfAbsent(key, value);
  }

  @Override
  public void putAll(List<KeyValue<byte[], byte[]>> entries) {
    wrapped().putAll(entries);
  }

  @Override
  public byte[] delete(byte[] key) {
    return wrapped().delete(key);
  }

  @Override
  public KeyValueIterator<byte[], byte[]> range(byte[] from, byte[] to) {
    return wrapped().range(from, to);
  }

  @Override
  public KeyValueIterator<byte[], byte[]> all() {
    return wrapped().all();
  }

  @Override
  public long approximateNumEntries() {
    return wrapped().approximateNumEntries();
  }

  /** Builds one around each store of `inner`. */
  record Builder(StoreBuilder<KeyValueStore<byte[], byte[]>> inner) implements StoreBuilder<DrainingStore> {
    @Override
    public DrainingStore build() {
      return new DrainingStore(inner.build());
    }

    @Override
    public Builder withCachingEnabled() {
      return new Builder(inner.withCachingEnabled());
    }

    @Override
    public Builder withCachingDisabled() {
      return new Builder(inner.withCachingDisabled());
    }

    @Override
    public Builder withLoggingEnabled(Map<String, String> config) {
      return new Builder(inner.withLoggingEnabled(config));
    }

    @Override
    public Builder withLoggingDisabled() {
      return new Builder(inner.withLoggingDisabled());
    }

    @Override
    public Map<String, String> logConfig() {
      return inner.logConfig();
    }

    @Override
    public boolean loggingEnabled() {
      return inner.loggingEnabled();
    }

    @Override
    public String name() {
      return inner.name();
    }
  }
}
