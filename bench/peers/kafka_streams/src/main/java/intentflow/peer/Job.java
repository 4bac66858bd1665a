package intentflow.peer;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** bench/peers/job.py in Java: where to read and write, the model, and what its inputs mean. */
@JsonIgnoreProperties(ignoreUnknown = true)
record Job(
    String bootstrap,
    String group,
    String source,
    String predictions,
    String folder,
    String model,
    String releaseId,
    List<String> tasks,
    List<String> categories,
    int stateSize,
    int ring,
    Features features,
    List<String> eventTypes,
    List<String> devices,
    String namespace,
    int predictionSchemaId) {

  record Features(int itemBuckets, int categoryBuckets, double sessionGapS) {}

  static Job read(Path file) throws IOException {
    return new ObjectMapper()
        .setPropertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
        .readValue(file.toFile(), Job.class);
  }
}
