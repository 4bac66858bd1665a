package intentflow.peer;

import org.apache.avro.util.Utf8;

/** models.events.hash_strings and short_hash, for one text. */
final class Hashes {
  private static final long BASE = 0x9E3779B97F4A7C15L;

  private Hashes() {}

  /** 64 bits; 0 for none, never 0 for a text. */
  static long of(Utf8 text) {
    if (text == null) {
      return 0;
    }
    byte[] bytes = text.getBytes();
    int length = text.getByteLength();
    long sum = 0;
    long power = 1;
    for (int at = 0; at < length; at++) {
      sum += ((bytes[at] & 0xFF) + 1) * power;
      power *= BASE;
    }
    long mixed = sum + length * 0xC2B2AE3D27D4EB4FL;
    mixed = (mixed ^ mixed >>> 33) * 0xFF51AFD7ED558CCDL;
    mixed = (mixed ^ mixed >>> 33) * 0xC4CEB9FE1A85EC53L;
    mixed ^= mixed >>> 33;
    return mixed == 0 ? 1 : mixed;
  }

  /** The low 32 bits of it; 0 for none, never 0 for a text. */
  static int shortOf(Utf8 text) {
    int low = (int) of(text);
    return low == 0 && text != null ? 1 : low;
  }

  /** Embedding row of a short hash: 0 = none, else 1 … buckets - 1. */
  static int bucket(int hash, int buckets) {
    return hash == 0 ? 0 : 1 + Integer.remainderUnsigned(hash, buckets - 1);
  }
}
