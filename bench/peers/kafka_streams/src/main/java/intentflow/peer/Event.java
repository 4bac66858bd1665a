package intentflow.peer;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.util.Utf8;

/** What the job needs of a behaviour event. type and device are positions in the lists of the job. */
record Event(
    Utf8 id,
    Utf8 user,
    long time,
    long idHash,
    int item,
    int category,
    boolean priced,
    double price,
    double quantity,
    int type,
    int device) {

  /** Reads the fields of schemas/behavior_event.avsc in their order: no record is built of what nobody asks for. */
  static final class Reader {
    private static final int HEADER = 5; // magic byte and schema id of the Confluent wire format
    private final Map<Utf8, Integer> types;
    private final Map<Utf8, Integer> devices;
    private BinaryDecoder decoder;

    Reader(Job job) {
      types = codes(job.eventTypes());
      devices = codes(job.devices());
    }

    Event read(byte[] value) {
      try {
        decoder = DecoderFactory.get().binaryDecoder(value, HEADER, value.length - HEADER, decoder);
        Utf8 id = decoder.readString(null);
        Utf8 user = decoder.readString(null);
        int type = types.getOrDefault(decoder.readString(null), 0);
        long time = decoder.readLong();
        int item = Hashes.shortOf(text());
        int category = Hashes.shortOf(text());
        boolean priced = decoder.readIndex() == 1;
        double price = priced ? decoder.readDouble() : 0.0;
        double quantity = decoder.readIndex() == 1 ? decoder.readDouble() : 0.0;
        text(); // session_id
        int device = devices.getOrDefault(text(), 0);
        return new Event(id, user, time, Hashes.of(id), item, category, priced, price, quantity, type, device);
      } catch (IOException problem) {
        throw new IllegalArgumentException("not a behaviour event", problem);
      }
    }

    /** An optional string. */
    private Utf8 text() throws IOException {
      return decoder.readIndex() == 1 ? decoder.readString(null) : null;
    }

    private static Map<Utf8, Integer> codes(List<String> names) {
      Map<Utf8, Integer> found = new HashMap<>();
      names.forEach(name -> found.put(new Utf8(name), found.size()));
      return found;
    }
  }
}
