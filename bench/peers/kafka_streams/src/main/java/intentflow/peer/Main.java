package intentflow.peer;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The worker's job in Kafka Streams: `java … intentflow.peer.Main JOB_FILE GUARANTEE CACHE_MIB`, until SIGTERM.
 *
 * <p>With a cache, rows in use stay in memory and go to RocksDB and changelog at a commit; 0 is none.
 */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) throws Exception {
    Job job = Job.read(Path.of(arguments[0]));
    long cacheMib = Long.parseLong(arguments[2]);
    KafkaStreams streams = new KafkaStreams(topology(job, cacheMib > 0), settings(job, arguments[1], cacheMib));
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        problem -> {
          problem.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
            ended.countDown();
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
    ended.await();
    if (streams.state() == KafkaStreams.State.ERROR) {
      System.exit(1);
    }
  }

  private static Topology topology(Job job, boolean cached) {
    ProcessorSupplier<byte[], byte[], byte[], byte[]> scorers =
        new ProcessorSupplier<>() {
          @Override
          public Processor<byte[], byte[], byte[], byte[]> get() {
            return new Scorer(job);
          }

          @Override
          public Set<StoreBuilder<?>> stores() {
            StoreBuilder<KeyValueStore<byte[], byte[]>> rows =
                Stores.keyValueStoreBuilder(
                    Stores.persistentKeyValueStore(Scorer.ROWS), Serdes.ByteArray(), Serdes.ByteArray());
            return Set.of(new DrainingStore.Builder(cached ? rows.withCachingEnabled() : rows));
          }
        };
    return new Topology()
        .addSource("events", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), job.source())
        .addProcessor("score", scorers, "events")
        .addSink(
            "predictions",
            job.predictions(),
            Serdes.ByteArray().serializer(),
            Serdes.ByteArray().serializer(),
            "score");
  }

  private static Properties settings(Job job, String guarantee, long cacheMib) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, job.group());
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.bootstrap());
    settings.put(StreamsConfig.STATE_DIR_CONFIG, job.folder());
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Runtime.getRuntime().availableProcessors());
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, cacheMib << 20);
    if (guarantee.equals(StreamsConfig.AT_LEAST_ONCE)) {
      // The default of 30 s is too long to measure by; this is the worker's interval between checkpoints.
      settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 10_000);
    }
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 4_000);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    return settings;
  }
}
