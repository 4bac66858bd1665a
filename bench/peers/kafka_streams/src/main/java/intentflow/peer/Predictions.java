package intentflow.peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.List;
import java.util.UUID;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.util.Utf8;

/** Records of schemas/prediction.avsc in the Confluent wire format, written field by field. */
final class Predictions {
  private final byte[] header;
  private final byte[] seed;
  private final Utf8 release;
  private final List<Utf8> tasks;
  private final List<Utf8> categories;
  private final MessageDigest sha1;
  private final ByteArrayOutputStream out = new ByteArrayOutputStream(512);
  private BinaryEncoder encoder;

  Predictions(Job job) {
    header = ByteBuffer.allocate(5).put((byte) 0).putInt(job.predictionSchemaId()).array();
    seed = seed(UUID.fromString(job.namespace()));
    release = new Utf8(job.releaseId());
    tasks = job.tasks().stream().map(Utf8::new).toList();
    categories = job.categories().stream().map(Utf8::new).toList();
    try {
      sha1 = MessageDigest.getInstance("SHA-1");
    } catch (NoSuchAlgorithmException problem) {
      throw new IllegalStateException(problem);
    }
  }

  /** The record of the event whose scores stand in row `at`. */
  byte[] record(Event event, Model.Scores scores, int at, int rows) {
    out.reset();
    out.writeBytes(header);
    encoder = EncoderFactory.get().directBinaryEncoder(out, encoder);
    try {
      encoder.writeString(id(event.id()));
      encoder.writeString(event.id());
      encoder.writeString(event.user());
      encoder.writeLong(event.time());
      encoder.writeLong(System.currentTimeMillis());
      encoder.writeString(release);
      writeTasks(scores.tasks(), at);
      writeFloats(scores.survival(), at, scores.survival().length / rows);
      writeCategories(scores.top(), at, scores.top().length / rows);
      writeFloats(scores.topScores(), at, scores.topScores().length / rows);
      encoder.flush();
    } catch (IOException problem) {
      throw new IllegalStateException(problem); // nothing here leaves memory
    }
    return out.toByteArray();
  }

  private void writeTasks(float[] values, int at) throws IOException {
    encoder.writeMapStart();
    encoder.setItemCount(tasks.size());
    for (int task = 0; task < tasks.size(); task++) {
      encoder.startItem();
      encoder.writeString(tasks.get(task));
      encoder.writeFloat(values[at * tasks.size() + task]);
    }
    encoder.writeMapEnd();
  }

  private void writeFloats(float[] values, int at, int width) throws IOException {
    encoder.writeArrayStart();
    encoder.setItemCount(width);
    for (int place = at * width; place < (at + 1) * width; place++) {
      encoder.startItem();
      encoder.writeFloat(values[place]);
    }
    encoder.writeArrayEnd();
  }

  private void writeCategories(int[] values, int at, int width) throws IOException {
    encoder.writeArrayStart();
    encoder.setItemCount(width);
    for (int place = at * width; place < (at + 1) * width; place++) {
      encoder.startItem();
      encoder.writeString(categories.get(values[place]));
    }
    encoder.writeArrayEnd();
  }

  /** uuid5 (RFC 9562) of the namespace and "prediction:<event id>". */
  private String id(Utf8 event) {
    sha1.update(seed);
    sha1.update(event.getBytes(), 0, event.getByteLength());
    ByteBuffer digest = ByteBuffer.wrap(sha1.digest());
    long high = digest.getLong() & ~0xF000L | 0x5000L;
    long low = digest.getLong() & 0x3FFFFFFFFFFFFFFFL | 0x8000000000000000L;
    return new UUID(high, low).toString();
  }

  private static byte[] seed(UUID namespace) {
    byte[] text = "prediction:".getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(16 + text.length)
        .putLong(namespace.getMostSignificantBits())
        .putLong(namespace.getLeastSignificantBits())
        .put(text)
        .array();
  }
}
