package intentflow.peer;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.internals.InternalProcessorContext;
import org.apache.kafka.streams.processor.internals.ProcessorNode;
import org.apache.kafka.streams.state.internals.WrappedStateStore;

/**
 * Buffers events up to BATCH or WAIT, then scores them with one call of the model.
 *
 * <p>Events of one shopper in one buffer go in rounds: round r holds every shopper's r-th event, so that each meets the
 * state that the one before left. A row is read and put once per buffer.
 */
final class Scorer implements Processor<byte[], byte[], byte[], byte[]> {
  static final String ROWS = "rows";
  static final int BATCH = 512;
  static final Duration WAIT = Duration.ofMillis(20);

  /** An event that waits, with its record's key and timestamp. */
  private record Pending(Event event, Shopper shopper, byte[] key, long timestamp) {}

  /** A shopper of the buffer; `events` so far in it. */
  private static final class Shopper {
    final byte[] key;
    Row row;
    int events;

    Shopper(byte[] key) {
      this.key = key;
    }
  }

  private final Job job;
  private final Row.Layout layout;
  private final Event.Reader reader;
  private final Featurizer featurizer;
  private final Predictions predictions;
  private final int[] ids = new int[Featurizer.IDS];
  private final float[] dense = new float[Featurizer.DENSE];
  private final Map<ByteBuffer, Shopper> shoppers = new HashMap<>();
  private final List<List<Pending>> rounds = new ArrayList<>();
  private int waiting;
  private Model model;
  private ProcessorContext<byte[], byte[]> context;
  private DrainingStore rows;

  Scorer(Job job) {
    this.job = job;
    layout = new Row.Layout(job.ring(), job.stateSize());
    reader = new Event.Reader(job);
    featurizer = new Featurizer(job);
    predictions = new Predictions(job);
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    model = new Model(job.model(), job.stateSize(), BATCH);
    // Streams hands a store out in a wrapper of its own.
    WrappedStateStore<?, ?, ?> handed = context.getStateStore(ROWS);
    rows = (DrainingStore) handed.wrapped();
    rows.beforeCommit(asThisNode(this::drain));
    context.schedule(WAIT, PunctuationType.WALL_CLOCK_TIME, now -> drain());
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    Shopper shopper = shoppers.computeIfAbsent(ByteBuffer.wrap(record.key()), key -> new Shopper(key.array()));
    if (shopper.events == rounds.size()) {
      rounds.add(new ArrayList<>());
    }
    Event event = reader.read(record.value());
    rounds.get(shopper.events++).add(new Pending(event, shopper, record.key(), record.timestamp()));
    if (++waiting == BATCH) {
      drain();
    }
  }

  @Override
  public void close() {
    model.close();
  }

  /** Scores everything that waits, forwards the predictions and puts the rows. */
  private void drain() {
    if (waiting == 0) {
      return;
    }
    for (Shopper shopper : shoppers.values()) {
      // With a cache this is the cache's own array: it changes before it is put, but nobody else reads it meanwhile.
      byte[] stored = rows.get(shopper.key);
      shopper.row = new Row(layout, stored == null ? layout.fresh() : stored);
    }
    rounds.forEach(this::score);
    shoppers.values().forEach(shopper -> rows.put(shopper.key, shopper.row.bytes));
    shoppers.clear();
    rounds.clear();
    waiting = 0;
  }

  /** One round: no shopper stands in it twice. */
  private void score(List<Pending> round) {
    List<Pending> fresh = new ArrayList<>(round.size());
    for (Pending pending : round) {
      Row row = pending.shopper.row;
      if (!row.holds(pending.event.idHash())) { // else a double, which changes nothing
        featurizer.ids(pending.event, ids);
        featurizer.dense(row, pending.event, dense);
        model.put(fresh.size(), ids, dense, row.bytes, layout.stateAt());
        fresh.add(pending);
      }
    }
    if (fresh.isEmpty()) {
      return;
    }
    Model.Scores scores = model.run(fresh.size());
    for (int at = 0; at < fresh.size(); at++) {
      Pending pending = fresh.get(at);
      Row row = pending.shopper.row;
      row.push(pending.event, featurizer.opensSession(row, pending.event.time()));
      scores.states().get(at * layout.stateBytes(), row.bytes, layout.stateAt(), layout.stateBytes());
      byte[] value = predictions.record(pending.event, scores, at, fresh.size());
      context.forward(new Record<>(pending.key, value, pending.timestamp));
    }
  }

  /** Before a commit no node is current, and forward wants to know whose records these are. */
  private Runnable asThisNode(Runnable work) {
    InternalProcessorContext<byte[], byte[]> internal = (InternalProcessorContext<byte[], byte[]>) context;
    ProcessorNode<?, ?, ?, ?> node = internal.currentNode();
    return () -> {
      ProcessorNode<?, ?, ?, ?> before = internal.currentNode();
      internal.setCurrentNode(node);
      try {
        work.run();
      } finally {
        internal.setCurrentNode(before);
      }
    };
  }
}
