/*
 * Built-in functions of the engine that keel is built without (scripts/build-keel.ts): the engine's table names them all
 * the same. The ES5 gate keeps scripts from calling them.
 */
#include "duktape.h"

duk_ret_t keel_absent(duk_context *ctx) { return duk_type_error(ctx, "keel's engine is built without this"); }

/* In place of functions of Math; declared in the engine's configuration. */
double keel_no_number(double x) { return x * __builtin_nan(""); }

#define ABSENT(name) duk_ret_t duk_bi_##name(duk_context *ctx) __attribute__((alias("keel_absent")))

ABSENT(cbor_decode);
ABSENT(cbor_encode);
ABSENT(date_constructor);
ABSENT(date_constructor_now);
ABSENT(date_constructor_parse);
ABSENT(date_constructor_utc);
ABSENT(date_prototype_get_shared);
ABSENT(date_prototype_get_timezone_offset);
ABSENT(date_prototype_set_shared);
ABSENT(date_prototype_set_time);
ABSENT(date_prototype_to_json);
ABSENT(date_prototype_toprimitive);
ABSENT(date_prototype_tostring_shared);
ABSENT(date_prototype_value_of);
ABSENT(performance_now);
ABSENT(proxy_constructor);
ABSENT(reflect_object_delete_property);
ABSENT(reflect_object_get);
ABSENT(reflect_object_has);
ABSENT(reflect_object_set);
ABSENT(textdecoder_constructor);
ABSENT(textdecoder_prototype_decode);
ABSENT(textdecoder_prototype_shared_getter);
ABSENT(textencoder_constructor);
ABSENT(textencoder_prototype_encode);
ABSENT(textencoder_prototype_encoding_getter);
ABSENT(thread_constructor);
ABSENT(thread_current);
ABSENT(thread_resume);
ABSENT(thread_yield);
