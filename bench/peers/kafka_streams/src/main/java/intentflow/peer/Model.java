package intentflow.peer;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Map;

/** The ONNX graph of bench/peers/export.py: one call for a batch of shoppers, one event each. Of one thread. */
final class Model implements AutoCloseable {
  /** Scores by row: tasks, survival curve, likeliest categories and their probabilities; the states after. */
  record Scores(float[] tasks, float[] survival, int[] top, float[] topScores, ByteBuffer states) {}

  private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
  private final OrtSession session;
  private final int stateBytes;
  private final ByteBuffer ids;
  private final ByteBuffer dense;
  private final ByteBuffer states;

  Model(String file, int stateSize, int mostRows) {
    stateBytes = 2 * stateSize;
    ids = direct(mostRows * Featurizer.IDS * Integer.BYTES);
    dense = direct(mostRows * Featurizer.DENSE * Float.BYTES);
    states = direct(mostRows * stateBytes);
    try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
      options.setIntraOpNumThreads(1); // a stream thread per core computes already
      options.setInterOpNumThreads(1);
      session = environment.createSession(file, options);
    } catch (OrtException problem) {
      throw new IllegalStateException("the model " + file + " cannot be loaded", problem);
    }
  }

  /** Puts one input row; `state` starts at `offset` of its array. */
  void put(int at, int[] eventIds, float[] eventDense, byte[] state, int offset) {
    ids.asIntBuffer().put(at * Featurizer.IDS, eventIds);
    dense.asFloatBuffer().put(at * Featurizer.DENSE, eventDense);
    states.put(at * stateBytes, state, offset, stateBytes);
  }

  /** Scores of the first `rows` input rows. */
  Scores run(int rows) {
    IntBuffer idRows = ids.asIntBuffer().limit(rows * Featurizer.IDS);
    FloatBuffer denseRows = dense.asFloatBuffer().limit(rows * Featurizer.DENSE);
    ByteBuffer stateRows = states.duplicate().order(ByteOrder.nativeOrder()).limit(rows * stateBytes);
    try (OnnxTensor idTensor = OnnxTensor.createTensor(environment, idRows, shape(rows, Featurizer.IDS));
        OnnxTensor denseTensor =
            OnnxTensor.createTensor(environment, denseRows, shape(rows, Featurizer.DENSE));
        OnnxTensor stateTensor =
            OnnxTensor.createTensor(
                environment, stateRows, shape(rows, stateBytes / 2), OnnxJavaType.FLOAT16);
        OrtSession.Result result =
            session.run(Map.of("ids", idTensor, "dense", denseTensor, "state", stateTensor))) {
      return new Scores(
          tensor(result, "tasks").getFloatBuffer().array(),
          tensor(result, "survival").getFloatBuffer().array(),
          tensor(result, "top").getIntBuffer().array(),
          tensor(result, "top_scores").getFloatBuffer().array(),
          tensor(result, "next_state").getByteBuffer());
    } catch (OrtException problem) {
      throw new IllegalStateException("the model does not run", problem);
    }
  }

  @Override
  public void close() {
    try {
      session.close();
    } catch (OrtException problem) {
      throw new IllegalStateException(problem);
    }
  }

  private static OnnxTensor tensor(OrtSession.Result result, String name) {
    return (OnnxTensor) result.get(name).orElseThrow();
  }

  private static long[] shape(long rows, long columns) {
    return new long[] {rows, columns};
  }

  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
  }
}
