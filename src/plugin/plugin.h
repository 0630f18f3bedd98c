/*
 * Tools that watch guest code: what cmd/ needs of them. The public side is include/dragoman/plugin.h; what the engine
 * asks and offers is in engine/instrument.h. A Plugins is made before the engine and lives as long as the process.
 */
#ifndef PLUGIN_PLUGIN_H
#define PLUGIN_PLUGIN_H

#include "base/status.h"
#include "engine/instrument.h"

#include <stdio.h>

typedef struct Plugins Plugins;

/* No tools yet; NULL when out of memory. */
Plugins *plugins_new(void);
void plugins_free(Plugins *p);
/* A tool that ships ("count,opt=value") or a shared object ("FILE.so,opt=value"). `spec` is copied. False with st set.
 */
bool plugins_add_tool(Plugins *p, const char *spec, Status *st);
bool plugins_add_file(Plugins *p, const char *spec, Status *st);
/* A plugin made for QEMU ("FILE.so,arg,arg"): qemu.h. */
bool plugins_add_qemu(Plugins *p, const char *spec, Status *st);
/* When tools watch (--window). */
bool plugins_window(Plugins *p, const char *spec, Status *st);
/* For EngineConfig.tools: engine_new starts them. `program`: the guest's. */
Tools *plugins_tools(Plugins *p, const char *program);
/* The tools that ship, with their options, for --help and --tool=help. */
void plugins_list(FILE *f, bool options);

#endif
