package intentflow.peer;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * A shopper's row in the byte array that the store holds: counters, ids and events of the last `ring` events, and the
 * model's state in half precision. Moved on in place.
 */
final class Row {
  private static final VarHandle LONG = view(long[].class);
  private static final VarHandle INT = view(int[].class);
  private static final VarHandle FLOAT = view(float[].class);

  private static final int PREVIOUS = 0;
  private static final int FIRST = 8;
  private static final int EVENTS = 16;
  private static final int SESSIONS = 24;
  private static final int PURCHASE = 32;
  private static final int GAP = 40;
  private static final int BASKETS = 44;
  private static final int IDS = 56;
  private static final int EVENT_BYTES = 24; // time 8, item 4, category 4, price 4, type 1, device 1, two left over

  /** Where things lie, for a ring and a state of one size. */
  record Layout(int ring, int stateSize) {
    int ringAt() {
      return IDS + 8 * ring;
    }

    int stateAt() {
      return ringAt() + EVENT_BYTES * ring;
    }

    int stateBytes() {
      return 2 * stateSize;
    }

    byte[] fresh() {
      return new byte[stateAt() + stateBytes()];
    }
  }

  private final Layout layout;
  final byte[] bytes;

  Row(Layout layout, byte[] bytes) {
    this.layout = layout;
    this.bytes = bytes;
  }

  long previous() {
    return (long) LONG.get(bytes, PREVIOUS);
  }

  long first() {
    return (long) LONG.get(bytes, FIRST);
  }

  long events() {
    return (long) LONG.get(bytes, EVENTS);
  }

  long sessions() {
    return (long) LONG.get(bytes, SESSIONS);
  }

  /** Time of the latest purchase in ms, 0 = none. */
  long purchase() {
    return (long) LONG.get(bytes, PURCHASE);
  }

  float gap() {
    return (float) FLOAT.get(bytes, GAP);
  }

  float basket(int which) {
    return (float) FLOAT.get(bytes, BASKETS + 4 * which);
  }

  /** Whether the event is one of the last `ring` events. */
  boolean holds(long id) {
    for (int at = 0; at < layout.ring(); at++) {
      if ((long) LONG.get(bytes, IDS + 8 * at) == id) {
        return true;
      }
    }
    return false;
  }

  void bought(long time, float gap, double[] baskets) {
    LONG.set(bytes, PURCHASE, time);
    FLOAT.set(bytes, GAP, gap);
    for (int at = 0; at < baskets.length; at++) {
      FLOAT.set(bytes, BASKETS + 4 * at, (float) baskets[at]);
    }
  }

  void push(Event event, boolean opensSession) {
    long events = events();
    int place = (int) (events % layout.ring());
    int at = layout.ringAt() + EVENT_BYTES * place;
    LONG.set(bytes, SESSIONS, sessions() + (opensSession ? 1 : 0));
    LONG.set(bytes, PREVIOUS, Math.max(previous(), event.time()));
    LONG.set(bytes, FIRST, events == 0 ? event.time() : first());
    LONG.set(bytes, EVENTS, events + 1);
    LONG.set(bytes, IDS + 8 * place, event.idHash());
    LONG.set(bytes, at, event.time());
    INT.set(bytes, at + 8, event.item());
    INT.set(bytes, at + 12, event.category());
    FLOAT.set(bytes, at + 16, (float) event.price());
    bytes[at + 20] = (byte) event.type();
    bytes[at + 21] = (byte) event.device();
  }

  private static VarHandle view(Class<?> array) {
    return MethodHandles.byteArrayViewVarHandle(array, ByteOrder.LITTLE_ENDIAN);
  }
}
