package intentflow.peer;

/** models/featurizer.py for one event: the ids and dense inputs of the model. */
final class Featurizer {
  static final int IDS = 4;
  static final int DENSE = 20;

  private static final double[] FADING_DAYS = {7.0, 30.0, 90.0};
  private static final double[] FADING_SCALES = {2.0, 3.0, 4.0};
  private static final double DAY_MS = 86_400_000.0;
  private static final double TURN = 2 * Math.PI;

  private final Job.Features spec;
  private final int purchase;

  Featurizer(Job job) {
    spec = job.features();
    purchase = job.eventTypes().indexOf("purchase");
  }

  void ids(Event event, int[] out) {
    out[0] = Hashes.bucket(event.item(), spec.itemBuckets());
    out[1] = Hashes.bucket(event.category(), spec.categoryBuckets());
    out[2] = event.type();
    out[3] = event.device();
  }

  /** The dense inputs, given the shopper's row before the event; the row's purchases are moved on by it. */
  void dense(Row row, Event event, float[] out) {
    long at = event.time();
    long count = row.events();
    double sessions = row.sessions();
    double since = count == 0 ? 0.0 : Math.max(at - row.previous(), 0) / 1000.0;
    double tenure = count == 0 ? 0.0 : Math.max(at - row.first(), 0) / DAY_MS;
    double hour = at / 60_000 % 1440 / 1440.0;
    double weekday = (at / 86_400_000 + 3) % 7 / 7.0; // 1970-01-01 was a Thursday
    out[0] = log(Math.min(event.price(), 1e8), 5.0);
    out[1] = event.priced() ? 1 : 0;
    out[2] = log(half(event.quantity()), 3.0);
    out[3] = log(Math.min(since, 1e9), 8.0);
    out[4] = count == 0 ? 1 : 0;
    out[5] = opensSession(row, at) ? 1 : 0;
    out[6] = log(count, 8.0);
    out[7] = log(sessions, 5.0);
    out[8] = log(Math.min(tenure, 1e5), 5.0);
    out[9] = log(Math.min(tenure / Math.max(sessions - 1.0, 1.0), 1e5), 4.0);
    out[10] = (float) Math.sin(TURN * hour);
    out[11] = (float) Math.cos(TURN * hour);
    out[12] = (float) Math.sin(TURN * weekday);
    out[13] = (float) Math.cos(TURN * weekday);
    if (event.type() == purchase && at > row.purchase()) {
      buy(row, at);
    }
    boolean known = row.purchase() > 0;
    double days = known ? Math.max(at - row.purchase(), 0) / DAY_MS : 0.0;
    out[14] = known ? 1 : 0;
    out[15] = log(Math.min(days, 1e4) * 24.0, 6.0);
    out[16] = log(Math.min(row.gap(), 1e4) * 24.0, 6.0);
    for (int which = 0; which < FADING_DAYS.length; which++) {
      out[17 + which] = log(faded(row, which, days), FADING_SCALES[which]);
    }
  }

  boolean opensSession(Row row, long at) {
    return row.events() == 0 || at - row.previous() > (long) (spec.sessionGapS() * 1000);
  }

  private void buy(Row row, long at) {
    long latest = row.purchase();
    double days = latest == 0 ? 0.0 : (at - latest) / DAY_MS;
    boolean opened = latest == 0 || days > spec.sessionGapS() / 86_400.0;
    double[] baskets = new double[FADING_DAYS.length];
    for (int which = 0; which < baskets.length; which++) {
      baskets[which] = faded(row, which, days) + (opened ? 1 : 0);
    }
    row.bought(at, opened ? (float) days : row.gap(), baskets);
  }

  private static double faded(Row row, int which, double days) {
    return row.basket(which) * Math.pow(2.0, -days / FADING_DAYS[which]);
  }

  private static float log(double value, double scale) {
    return (float) (Math.log1p(value) / scale);
  }

  /** The nearest number that half precision holds, for what is not below its normal range (6e-5). */
  private static double half(double value) {
    int bits = Float.floatToRawIntBits((float) Math.min(value, 65504.0));
    bits += 0xFFF + (bits >> 13 & 1);
    return Float.intBitsToFloat(bits & ~0x1FFF);
  }
}
