/* Exports every function of every file under its own name. */
#include "addon.h"

NAPI_MODULE_INIT(/* env, exports */) {
  const struct method *tables[] = {file_methods,    path_methods,    xattr_methods, socket_methods, mount_methods,
                                   process_methods, network_methods, port_methods,  watch_methods,  bpf_methods};
  for (size_t table = 0; table < sizeof tables / sizeof *tables; table++) {
    for (const struct method *method = tables[table]; method->name != NULL; method++) {
      napi_value function;
      if (napi_create_function(env, method->name, NAPI_AUTO_LENGTH, method->call, NULL, &function) != napi_ok ||
          napi_set_named_property(env, exports, method->name, function) != napi_ok)
        return NULL;
    }
  }
  return exports;
}
