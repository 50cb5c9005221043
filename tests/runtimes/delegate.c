/* A delegate of LiteRT (TensorFlow Lite) that moves bytes.
 *
 * It takes the operations of one kind that give their first input another shape and nothing else,
 * and runs them by copying. The option "operation" is the code of that kind in BuiltinOperator of
 * the schema, such as 22 for RESHAPE; without it the delegate takes nothing. The layouts are those
 * of TensorFlow Lite's C interface (tensorflow/lite/core/c/common.h), as far as they are used.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, ERROR = 1, ALLOW_DYNAMIC_TENSORS = 1 };

typedef struct {
  int size;
  int data[];
} IntArray;

typedef struct {
  int type;
  void *data;
  IntArray *dims;
  float scale;
  int32_t zero_point;
  int allocation_type;
  size_t bytes;
  void *unused[8];
} Tensor;

typedef struct {
  IntArray *inputs, *outputs;
} Node;

typedef struct Context Context;

typedef struct {
  void *init, *release;
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  void *profiling_string;
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external, *async_kernel;
  uint64_t inplace_operator;
} Registration;

typedef struct Delegate {
  void *data;
  int (*prepare)(Context *, struct Delegate *);
  void *buffer_functions[3];
  int64_t flags;
  void *builder;
} Delegate;

struct Context {
  size_t tensors_size;
  int (*execution_plan)(Context *, IntArray **);
  Tensor *tensors;
  void *implementation;
  int (*resize_tensor)(Context *, Tensor *, IntArray *);
  void (*report_error)(Context *, const char *, ...);
  void *add_tensors;
  int (*node_and_registration)(Context *, int, Node **, Registration **);
  int (*replace_nodes)(Context *, Registration, const IntArray *, Delegate *);
};

static int wanted_operation;

static int ready(Context *context, Node *node) { return OK; }

static int copy(Context *context, Node *node) {
  Tensor *from = &context->tensors[node->inputs->data[0]];
  Tensor *to = &context->tensors[node->outputs->data[0]];
  if (from->bytes != to->bytes) return ERROR;
  memcpy(to->data, from->data, from->bytes);
  return OK;
}

static int prepare(Context *context, Delegate *delegate) {
  IntArray *plan, *taken;
  Registration kernel = {.prepare = ready, .invoke = copy, .custom_name = "Copy", .version = 1};
  if (context->execution_plan(context, &plan) != OK) return ERROR;
  taken = malloc(sizeof(int) * (plan->size + 1));
  taken->size = 0;
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *registration;
    if (context->node_and_registration(context, plan->data[i], &node, &registration) != OK)
      return ERROR;
    if (registration->builtin_code == wanted_operation)
      taken->data[taken->size++] = plan->data[i];
  }
  int status = context->replace_nodes(context, kernel, taken, delegate);
  free(taken);
  return status;
}

static Delegate delegate = {.prepare = prepare, .flags = ALLOW_DYNAMIC_TENSORS};

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                    void (*report)(const char *)) {
  wanted_operation = -1;
  for (size_t i = 0; i < count; i++) {
    if (strcmp(keys[i], "operation")) {
      report("it has no such option");
      return NULL;
    }
    wanted_operation = atoi(values[i]);
  }
  return &delegate;
}

void tflite_plugin_destroy_delegate(void *delegate) {}
