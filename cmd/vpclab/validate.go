package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

func validateCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE|DIR...",
		Short: "Say whether scenario files are right; needs no root",
		Long: `Read scenario files and report everything that can be known without building
them: unknown and duplicate keys, wrong types, dangling references, addresses,
rules, and what AWS itself would refuse. All errors are listed, each with
FILE:LINE:COL and what would be right.

Exit status: 0 all files are right, 2 at least one is not.`,
		Example: `  vpclab validate shop.yaml
  vpclab validate scenarios/`,
		Args:              atLeastOne("a scenario file or a folder of them", "vpclab validate scenarios/tour.yaml"),
		ValidArgsFunction: completeYAML,
		RunE:              act(func(_ context.Context, args []string) error { return validate(c, args) }),
	}
}

// validate is `vpclab validate`.
func validate(c *console, args []string) error {
	files, err := scenarioFiles(args)
	if err != nil {
		return err
	}
	loaded, problems := loadAll(files)
	for i, s := range loaded {
		if s != nil {
			c.print(line(files[i]) + ": ok (" + count(len(checksOf(s.Steps)), "check") + ")\n")
		}
	}
	return errors.Join(problems...)
}

func schemaCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files",
		Long: `Print the JSON Schema (draft 2020-12) of the scenario language. Editors complete
and check scenario files with it: for those that use yaml-language-server, save
it beside the file and begin the file with the line

  # yaml-language-server: $schema=vpclab.schema.json`,
		Example: `  vpclab schema > vpclab.schema.json`,
		Args:    noArguments,
		RunE: act(func(context.Context, []string) error {
			c.print(string(scenario.Schema()))
			return nil
		}),
	}
}
